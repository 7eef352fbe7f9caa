import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import type * as fileSystem from "node:fs";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, expect, it, vi } from "vitest";

import { lockDirectory } from "../../provider/src/state/directory-lock.ts";
import { attemptLock } from "../support/attempt-lock.ts";

/**
 * Three programs that start at once where one has crashed. This process is stopped before each of its steps on the disk in
 * turn, and there the other two run, which are processes of their own.
 */

const disk = vi.hoisted(() => ({ beforeStep: () => {} }));
vi.mock("node:fs", async (importOriginal) => {
  const fs = await importOriginal<typeof fileSystem>();
  const STEPS = ["linkSync", "openSync", "readFileSync", "renameSync", "rmSync"] as const;
  const stopping = STEPS.map((name) => [
    name,
    (...args: never[]): unknown => {
      disk.beforeStep();
      return (fs[name] as (...given: never[]) => unknown)(...args);
    },
  ]);
  return { ...fs, ...(Object.fromEntries(stopping) as object) };
});

const CRASHED = '{"pid":4206649,"booted_at":0}';
const LOCK_PROCESS = new URL("../support/lock-process.ts", import.meta.url);
/** More than this process takes. */
const STEPS = 24;
/** Who waits for this process, which is stopped, is not waited for longer. */
const PATIENCE_MS = 80;

let root: string;
let others: ChildProcess[];
beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), "lock-race-"));
  others = [1, 2].map(() => fork(LOCK_PROCESS, { execArgv: [] }));
  await Promise.all(others.map((child) => once(child, "message")));
});
afterAll(() => {
  for (const child of others) child.kill();
  rmSync(root, { recursive: true });
});

/** Has the other process try, and waits until it has, or waits for this one. */
function letTry(child: ChildProcess, directory: string): void {
  const done = `${directory}.${child.pid}`;
  child.send({ directory, at: 0, done });
  const nobody = new Int32Array(new SharedArrayBuffer(4));
  for (let waitedMs = 0; waitedMs < PATIENCE_MS && !existsSync(done); waitedMs += 1) {
    Atomics.wait(nobody, 0, 0, 1);
  }
}

it("gives the lock of a crashed program to one of three, whenever they come", async () => {
  for (let first = 1; first <= STEPS; first += 1) {
    const directory = join(root, String(first));
    mkdirSync(directory);
    writeFileSync(join(directory, "lock.json"), CRASHED);
    const answers = others.map((child) => once(child, "message"));
    let step = 0;
    disk.beforeStep = () => {
      step += 1;
      const child = others[step - first];
      if (child !== undefined) letTry(child, directory);
    };
    const said = [attemptLock(directory)];
    disk.beforeStep = () => {};
    for (const child of others.slice(Math.max(0, step - first + 1))) letTry(child, directory);
    for (const [answer] of await Promise.all(answers)) said.push(String(answer));
    const held = said.filter((answer) => answer === "held");
    expect([first, said, held]).toStrictEqual([first, said, ["held"]]);
    expect(readdirSync(directory)).toStrictEqual(["lock.json"]);
  }
});

it("takes the lock over where another program has crashed while it did so", () => {
  const directory = join(root, "turn");
  mkdirSync(directory);
  for (const name of ["lock.json", "lock.json.turn"]) writeFileSync(join(directory, name), CRASHED);
  lockDirectory(directory)();
  expect(readdirSync(directory)).toStrictEqual([]);
});
