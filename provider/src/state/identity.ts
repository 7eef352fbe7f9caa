import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  randomBytes,
  type KeyObject,
} from "node:crypto";
import { chmodSync, statSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";

import { z } from "zod";

import { machineIdSchema, type MachineId } from "../../../protocol/ids.ts";
import { reasonOf } from "../reason.ts";
import { UserError } from "../user-error.ts";
import { makeStateDirectory, parseJson, readIfThere, writeFileAtomically } from "./files.ts";

/**
 * This machine's id and key, kept in the state directory. The coordinator binds the id to the key, so a machine that loses
 * the directory becomes a new machine.
 */

const MACHINE_FILE = "machine.json";
const KEY_FILE = "key.pem";

const machineSchema = z.object({ machine_id: machineIdSchema });

export interface Identity {
  readonly machineId: MachineId;
  /** P-256 SPKI, base64. */
  readonly publicKey: string;
  readonly privateKey: KeyObject;
}

/**
 * Reads the identity from `directory`, or creates one there. `wantedId` is the owner's choice of an id.
 * @throws UserError if the directory cannot be used or belongs to another id.
 */
export function openIdentity(directory: string, wantedId: MachineId | null): Identity {
  makeStateDirectory(directory);
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

/** The host name in the form of an id, with four random characters, since several Macs may be called macbook-pro. */
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
