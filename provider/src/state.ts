import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  randomBytes,
  type KeyObject,
} from "node:crypto";
import {
  chmodSync,
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { hostname, uptime } from "node:os";
import { dirname, join, sep } from "node:path";

import { z } from "zod";

import { epochSchema, machineIdSchema, modelIdSchema, type MachineId } from "../../protocol/ids.ts";
import type { HeldAssignment } from "./agent/assignment.ts";
import { reasonOf } from "./reason.ts";
import { UserError } from "./user-error.ts";

/**
 * What this machine is to the coordinator: an id and a key that stay the same for ever, and the newest order it was
 * given. All live in the state directory. The coordinator binds the id to the key, so losing the directory means
 * becoming a new machine.
 */

const MACHINE_FILE = "machine.json";
const KEY_FILE = "key.pem";
const LOCK_FILE = "lock.json";
const ASSIGNMENT_FILE = "assignment.json";

const machineSchema = z.object({ machine_id: machineIdSchema });
const assignmentSchema = z.object({ model_id: modelIdSchema.nullable(), epoch: epochSchema });
const lockSchema = z.object({ pid: z.int().positive(), booted_at: z.number() });

export interface Identity {
  readonly machineId: MachineId;
  /** P-256 SPKI, base64. */
  readonly publicKey: string;
  readonly privateKey: KeyObject;
}

/**
 * Reads the identity from `directory`, or makes one there. `wantedId` is the operator's choice of an id.
 * @throws UserError if the directory cannot be used or belongs to another id.
 */
export function openIdentity(directory: string, wantedId: MachineId | null): Identity {
  makeDirectory(directory);
  const path = join(directory, MACHINE_FILE);
  const text = readIfThere(path);
  const keys = openKeys(join(directory, KEY_FILE), text === null);
  if (text === null) {
    const machineId = wantedId ?? inventMachineId(hostname());
    writeFileAtomically(path, `${JSON.stringify({ machine_id: machineId }, null, 2)}\n`);
    return { machineId, ...keys };
  }
  const parsed = machineSchema.safeParse(parseJson(text));
  if (!parsed.success) {
    throw new UserError(
      `${path} does not hold a machine id. Restore it, or remove ${directory} to become a new machine.`,
    );
  }
  const machineId = parsed.data.machine_id;
  if (wantedId !== null && wantedId !== machineId) {
    throw new UserError(
      `${directory} belongs to machine ${machineId}, not to ${wantedId}. Leave --machine-id out, or give the other machine its own --state directory.`,
    );
  }
  return { machineId, ...keys };
}

/** The id that this machine was given at its first start; null if there was none. @throws UserError */
export function knownMachineId(directory: string): MachineId | null {
  const parsed = machineSchema.safeParse(parseJson(readIfThere(join(directory, MACHINE_FILE)) ?? ""));
  return parsed.success ? parsed.data.machine_id : null;
}

/**
 * Reads what this machine was told to hold; null if it was never managed. A file that cannot be used counts as none:
 * the coordinator repeats the order when the machine registers.
 */
export function readAssignment(directory: string): {
  assignment: HeldAssignment | null;
  warning: string | null;
} {
  const path = join(directory, ASSIGNMENT_FILE);
  let problem = "it does not hold a model id and an epoch";
  try {
    const text = readIfThere(path);
    if (text === null) return { assignment: null, warning: null };
    const parsed = assignmentSchema.safeParse(parseJson(text));
    if (parsed.success) {
      const { model_id, epoch } = parsed.data;
      return { assignment: { modelId: model_id, epoch }, warning: null };
    }
  } catch (cause) {
    problem = reasonOf(cause);
  }
  const warning = `ignored ${path}: ${problem}. This machine starts unmanaged and waits for new orders.`;
  return { assignment: null, warning };
}

/**
 * @throws UserError if the file could not be written. It names no directory, since the coordinator is told as well and a home
 * directory has its owner's name.
 */
export function writeAssignment(directory: string, { modelId, epoch }: HeldAssignment): void {
  const text = JSON.stringify({ model_id: modelId, epoch }, null, 2);
  const path = join(directory, ASSIGNMENT_FILE);
  try {
    writeFileAtomically(path, `${text}\n`);
  } catch (cause) {
    throw new UserError(reasonOf(cause).replaceAll(`${dirname(path)}${sep}`, ""), { cause });
  }
}

/** The host's first name as far as an id may hold it, and four random characters: two Macs are both "macbook-pro". */
export function inventMachineId(host: string, random: Buffer = randomBytes(8)): MachineId {
  const name = (host.split(".")[0] ?? "")
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-+|-+$/g, "")
    .slice(0, 48)
    .replace(/-+$/g, "");
  const suffix = createHash("sha256").update(random).digest("hex").slice(0, 4);
  return machineIdSchema.parse(`${name === "" ? "mac" : name}-${suffix}`);
}

/**
 * Makes this process the only one that uses `directory`, until it calls the returned function or ends.
 * Two would push each other off the coordinator for ever, each superseding the other.
 * @param flag which flag names another directory
 * @throws UserError if another one is running.
 */
export function lockState(directory: string, flag = "--state"): () => void {
  makeDirectory(directory);
  const path = join(directory, LOCK_FILE);
  const holder = lockSchema.safeParse(parseJson(readIfThere(path) ?? ""));
  if (
    holder.success &&
    holder.data.pid !== process.pid &&
    isRunning(holder.data.pid, holder.data.booted_at)
  ) {
    throw new UserError(
      `Another provider (process ${holder.data.pid}) is using ${directory}. Stop it, or give this one its own ${flag} directory. If no provider is running, remove ${path}.`,
    );
  }
  if (locks.has(path)) return () => undefined;
  writeFileAtomically(path, JSON.stringify({ pid: process.pid, booted_at: bootedAt() }));
  locks.add(path);
  return () => {
    locks.delete(path);
    rmSync(path, { force: true });
  };
}

/** Locks that this process has. The state and the downloads may be in one directory. */
const locks = new Set<string>();

/** Writes a file so that a reader, or a crash, sees the old contents or the new ones and nothing in between. */
export function writeFileAtomically(path: string, text: string, mode = 0o644): void {
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    const file = openSync(temporary, "w", mode);
    try {
      // Not `writeSync`, which on a disk that is nearly full writes a part and says so only by a number.
      writeFileSync(file, text);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, path);
  } catch (cause) {
    rmSync(temporary, { force: true });
    throw new UserError(`Cannot write ${path}: ${reasonOf(cause)}.`, { cause });
  }
}

function openKeys(path: string, mayMake: boolean): Omit<Identity, "machineId"> {
  const pem = readIfThere(path);
  if (pem === null) {
    // A new key under an old id would be refused by the coordinator for ever.
    if (!mayMake) {
      throw new UserError(
        `${path}, this machine's key, is missing. Restore it, or remove the whole directory to become a new machine.`,
      );
    }
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
    writeFileAtomically(path, privateKey.export({ type: "pkcs8", format: "pem" }).toString(), 0o600);
    return pairOf(privateKey);
  }
  // A copied or restored file may have become readable for others.
  if ((statSync(path).mode & 0o077) !== 0) chmodSync(path, 0o600);
  try {
    const privateKey = createPrivateKey(pem);
    const curve = privateKey.asymmetricKeyDetails?.namedCurve;
    if (curve !== "prime256v1") throw new Error("it is not a P-256 key");
    return pairOf(privateKey);
  } catch (cause) {
    throw new UserError(
      `${path} is not a usable private key (${reasonOf(cause)}). Restore it, or remove the whole directory to become a new machine.`,
      { cause },
    );
  }
}

function pairOf(privateKey: KeyObject): Omit<Identity, "machineId"> {
  const publicKey = createPublicKey(privateKey).export({ type: "spki", format: "der" });
  return { privateKey, publicKey: publicKey.toString("base64") };
}

function makeDirectory(directory: string): void {
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
  } catch (cause) {
    throw new UserError(`Cannot make the state directory ${directory}: ${reasonOf(cause)}.`, { cause });
  }
}

function readIfThere(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    if (cause instanceof Error && "code" in cause && cause.code === "ENOENT") return null;
    throw new UserError(`Cannot read ${path}: ${reasonOf(cause)}.`, { cause });
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** A pid means a process only since the last start of the system: pids are used again. */
function isRunning(pid: number, since: number): boolean {
  if (Math.abs(since - bootedAt()) > 60_000) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (cause) {
    return cause instanceof Error && "code" in cause && cause.code === "EPERM";
  }
}

function bootedAt(): number {
  return Math.round(Date.now() - uptime() * 1000);
}
