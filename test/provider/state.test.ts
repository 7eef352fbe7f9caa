import { fork, spawnSync, type ChildProcess } from "node:child_process";
import { createPublicKey } from "node:crypto";
import { once } from "node:events";
import {
  existsSync,
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { epochSchema, machineIdSchema, modelIdSchema } from "../../protocol/ids.ts";
import { lockDirectory } from "../../provider/src/state/directory-lock.ts";
import { writeFileAtomically } from "../../provider/src/state/files.ts";
import { inventMachineId, openIdentity } from "../../provider/src/state/identity.ts";
import { readAssignment, writeAssignment } from "../../provider/src/state/saved-assignment.ts";

const FILES = new URL("../../provider/src/state/files.ts", import.meta.url).href;

let directory: string;
beforeEach(() => {
  directory = join(mkdtempSync(join(tmpdir(), "provider-state-")), "state");
});
afterEach(() => rmSync(join(directory, ".."), { recursive: true, force: true }));

const id = (text: string): ReturnType<typeof machineIdSchema.parse> => machineIdSchema.parse(text);

describe("[H22] the identity of a machine", () => {
  it("is made at the first start and stays the same", () => {
    const first = openIdentity(directory, null);
    const second = openIdentity(directory, null);
    expect(first.publicKey).not.toBe("");
    expect(second).toEqual(first);
  });

  it("is a P-256 key whose private half only the owner can read", () => {
    const { publicKey } = openIdentity(directory, null);
    const key = createPublicKey({ key: Buffer.from(publicKey, "base64"), type: "spki", format: "der" });
    expect(key.asymmetricKeyDetails?.namedCurve).toBe("prime256v1");
    expect(statSync(join(directory, "key.pem")).mode & 0o777).toBe(0o600);
  });

  it("takes the right to read from others if a copied file gave it to them", () => {
    openIdentity(directory, null);
    chmodSync(join(directory, "key.pem"), 0o644);
    openIdentity(directory, null);
    expect(statSync(join(directory, "key.pem")).mode & 0o777).toBe(0o600);
  });

  it("has the id that its owner wants", () => {
    expect(openIdentity(directory, id("my-studio")).machineId).toBe("my-studio");
    expect(openIdentity(directory, null).machineId).toBe("my-studio");
  });

  it("does not change its id under the same key", () => {
    openIdentity(directory, id("my-studio"));
    expect(() => openIdentity(directory, id("other"))).toThrow(/belongs to machine my-studio, not to other/);
  });

  it.each([
    ["machine.json", "{", /does not hold a machine id/],
    ["machine.json", '{"machine_id":"No!"}', /does not hold a machine id/],
    ["key.pem", "garbage", /not a usable private key/],
  ])("says what is wrong with %s containing %s", (file, contents, expected) => {
    openIdentity(directory, null);
    writeFileSync(join(directory, file), contents);
    expect(() => openIdentity(directory, null)).toThrow(expected);
  });

  it("does not make a new key for an old id", () => {
    openIdentity(directory, null);
    rmSync(join(directory, "key.pem"));
    expect(() => openIdentity(directory, null)).toThrow(/key, is missing/);
  });

  it("says so if the directory cannot be made", () => {
    writeFileSync(join(directory, "..", "file"), "");
    expect(() => openIdentity(join(directory, "..", "file", "state"), null)).toThrow(
      /Cannot make the state directory/,
    );
  });
});

describe("[H8] the assignment", () => {
  it.each([
    ["a model", modelIdSchema.parse("alpha")],
    ["a release", null],
  ])("of %s is read as it was written", (_, modelId) => {
    openIdentity(directory, null);
    const held = { modelId, epoch: epochSchema.parse(2 ** 48) };
    writeAssignment(directory, held);
    expect(readAssignment(directory)).toEqual({ assignment: held, warning: null });
  });

  it("is none on a machine that was never managed", () => {
    expect(readAssignment(directory)).toEqual({ assignment: null, warning: null });
  });

  it.each(["", "{", '{"model_id":"alpha"}', '{"model_id":"alpha","epoch":-1}'])(
    "is none, with a warning, if its file holds %j",
    (contents) => {
      openIdentity(directory, null);
      writeFileSync(join(directory, "assignment.json"), contents);
      const { assignment, warning } = readAssignment(directory);
      expect(assignment).toBeNull();
      expect(warning).toMatch(/assignment\.json.*starts unmanaged/);
    },
  );

  it("that cannot be written is an error, which the coordinator may hear: it names no directory", () => {
    const none = { modelId: null, epoch: epochSchema.parse(1) };
    const write = (): void => writeAssignment(join(directory, "missing"), none);
    expect(write).toThrow(/Cannot write assignment\.json: ENOENT/);
    expect(write).not.toThrow(directory);
  });
});

describe("an invented id", () => {
  it.each([
    ["Marias-MacBook-Pro.local", /^marias-macbook-pro-[0-9a-f]{4}$/],
    ["Büro Mac №1", /^b-ro-mac-1-[0-9a-f]{4}$/],
    ["", /^mac-[0-9a-f]{4}$/],
    ["...", /^mac-[0-9a-f]{4}$/],
    ["x".repeat(200), /^x{48}-[0-9a-f]{4}$/],
  ])("of the host %j is like %s", (host, expected) => {
    const invented = inventMachineId(host);
    expect(invented).toMatch(expected);
    expect(machineIdSchema.safeParse(invented).success).toBe(true);
  });

  it("differs between two Macs of one name", () => {
    expect(inventMachineId("mac")).not.toBe(inventMachineId("mac"));
  });
});

describe("the lock", () => {
  it("may be of two directories that are one, and holds until the first to take it lets go", () => {
    const lockFile = join(directory, "lock.json");
    const unlock = lockDirectory(directory);
    lockDirectory(directory, "--downloads-dir")();
    expect(existsSync(lockFile)).toBe(true);
    unlock();
    expect(existsSync(lockFile)).toBe(false);
  });

  it("keeps a second provider out of the same directory until the first one has gone", () => {
    const lockFile = join(directory, "lock.json");
    const unlock = lockDirectory(directory);
    // Another process that is surely alive: the one that runs these tests.
    const { booted_at } = JSON.parse(readFileSync(lockFile, "utf8")) as { booted_at: number };
    writeFileSync(lockFile, JSON.stringify({ pid: process.ppid, booted_at }));
    expect(() => lockDirectory(directory)).toThrow(new RegExp(`process ${process.ppid}`));
    unlock();
    expect(() => lockDirectory(directory)).not.toThrow();
  });

  it.each([
    ["of a process that has died", { pid: 2 ** 22 + 12_345, booted_at: null }],
    ["from before the last start of the system", { pid: process.ppid, booted_at: 0 }],
    ["that cannot be read", "garbage"],
  ])("is taken over %s", (_, contents) => {
    const lockFile = join(directory, "lock.json");
    const unlock = lockDirectory(directory);
    const own = readFileSync(lockFile, "utf8");
    const { booted_at } = JSON.parse(own) as { booted_at: number };
    unlock();
    const lock =
      typeof contents === "string" ? contents : { ...contents, booted_at: contents.booted_at ?? booted_at };
    writeFileSync(lockFile, typeof lock === "string" ? lock : JSON.stringify(lock));
    const release = lockDirectory(directory);
    expect(JSON.parse(readFileSync(lockFile, "utf8"))).toMatchObject({ pid: process.pid });
    release();
    expect(readdirSync(directory)).toEqual([]);
  });

  it.each([
    ["three of those that start at once with a new directory", 3, null],
    ["two with one whose program has died", 2, '{"pid":4206649,"booted_at":0}'],
  ])("is had by one of %s", async (_, count, stale) => {
    const processes = Array.from({ length: count }, () => fork(LOCK_PROCESS, { execArgv: [] }));
    await Promise.all(processes.map(answerOf));
    for (let round = 0; round < 30; round += 1) {
      const shared = join(directory, String(round));
      mkdirSync(shared, { recursive: true });
      if (stale !== null) writeFileSync(join(shared, "lock.json"), stale);
      const answers = processes.map(answerOf);
      const at = Date.now() + 20;
      for (const child of processes) child.send({ directory: shared, at });
      const said = await Promise.all(answers);
      expect(said.filter((answer) => answer === "held")).toHaveLength(1);
      const refused = said.filter((answer) => /^Another provider \(process \d+\) is using/.test(answer));
      expect(refused).toHaveLength(count - 1);
      expect(readdirSync(shared)).toEqual(["lock.json"]);
    }
    for (const child of processes) child.kill();
  });
});

const LOCK_PROCESS = new URL("../support/lock-process.ts", import.meta.url);

async function answerOf(child: ChildProcess): Promise<string> {
  const [answer] = (await once(child, "message")) as [string];
  return answer;
}

it("writes a file whole or not at all", () => {
  openIdentity(directory, null);
  const path = join(directory, "x.json");
  writeFileAtomically(path, "one");
  writeFileAtomically(path, "two");
  expect(readFileSync(path, "utf8")).toBe("two");
  expect(() => writeFileAtomically(join(directory, "missing", "x"), "text")).toThrow(/Cannot write/);
  expect(readdirSync(directory).filter((name) => name.endsWith(".tmp"))).toEqual([]);
});

it("keeps what was there if the disk takes only a part of a file", () => {
  const path = join(directory, "..", "file");
  writeFileAtomically(path, "old");
  const script = `
    process.on("SIGXFSZ", () => {});
    const { writeFileAtomically } = await import(${JSON.stringify(FILES)});
    writeFileAtomically(${JSON.stringify(path)}, "new".repeat(5000));`;
  const limited = [
    "-c",
    'ulimit -f 2 && exec "$0" "$@"',
    process.execPath,
    "--input-type=module",
    "-e",
    script,
  ];
  const { stderr, status } = spawnSync("/bin/sh", limited, { encoding: "utf8" });
  expect(stderr).toContain("Cannot write");
  expect(status).not.toBe(0);
  expect(readFileSync(path, "utf8")).toBe("old");
});
