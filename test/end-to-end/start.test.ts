import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

import { afterAll, expect, it } from "vitest";

import { Stack, until } from "./stack.ts";

/** `npm start` beside another one, and in a folder that cannot be used as it is. */

const stack = new Stack();

afterAll(() => stack.stop());

it("runs once in a folder, also if it is started twice at one moment, and again after it was killed", async () => {
  const both = [stack.launchCoordinator(), stack.launchCoordinator()];
  const refused = await until(() => both.find(({ child }) => child.exitCode !== null));
  const serving = both.find((run) => run !== refused);
  if (serving === undefined) throw new Error("nobody serves");
  await until(() => existsSync(join(stack.dir, "dev.json")) || null);
  expect(refused.child.exitCode).toBe(1);
  expect(refused.output()).toContain(`Poolkeeper is already running with the state in ${stack.dir}`);

  const late = stack.launchCoordinator();
  await once(late.child, "close");
  expect(late.child.exitCode).toBe(1);
  expect(late.output()).toContain(`(process ${serving.child.pid}), at http://127.0.0.1:`);
  expect(late.output()).toContain(`"kill ${serving.child.pid}"`);
  expect(serving.child.exitCode).toBeNull();

  await stack.killCoordinator(serving.child);
  await stack.startCoordinator();
  expect((await fetch(`${stack.url}/health`)).status).toBe(200);
});

it("says in a sentence that its folder cannot be written to", async () => {
  const other = new Stack();
  // As from a folder that belongs to somebody else, which would not keep this test's user out everywhere.
  mkdirSync(join(other.dir, "start.lock"));
  const run = other.launchCoordinator();
  await once(run.child, "close");
  expect(run.child.exitCode).toBe(1);
  expect(run.output().trim()).toMatch(
    /^Cannot write to .*: unable to open .*another folder with "npm start -- --state DIR"\.$/,
  );
  await other.stop();
});

it("names a database that is damaged, leaves it as it is, and starts once it is moved away", async () => {
  const other = new Stack();
  await other.startCoordinator();
  // Until somebody wants something of the fleet, it has written nothing.
  await other.admin.setFlag("queue_max", "31");
  await other.killCoordinator();
  const folder = join(other.dir, "storage", "do", "poolkeeper-Fleet");
  const [name = ""] = readdirSync(folder).filter((file) => /^[0-9a-f]+\.sqlite$/.test(file));
  const file = join(folder, name);
  // What was killed may still hold it for a moment.
  await until(() => {
    const database = new DatabaseSync(file);
    database.prepare("PRAGMA wal_checkpoint(TRUNCATE)").get();
    database.close();
    return statSync(file).size > 8192 || null;
  });
  // The page behind the one that says what it is: whoever only opens it notices nothing.
  const bytes = readFileSync(file);
  bytes.fill(7, 4096, 8192);
  writeFileSync(file, bytes);

  const run = other.launchCoordinator();
  await once(run.child, "close");
  expect(run.child.exitCode).toBe(1);
  const [first, second, ...rest] = run.output().trim().split("\n");
  expect(first).toMatch(/is damaged, and was left as it is:$/);
  expect(second).toContain(`${file}: `);
  expect(second).toContain("it holds the machines");
  expect(rest).toHaveLength(1);
  expect(readFileSync(file).equals(bytes)).toBe(true);

  for (const each of readdirSync(folder).filter((found) => found.startsWith(name))) {
    renameSync(join(folder, each), join(other.dir, each));
  }
  await other.startCoordinator();
  expect((await fetch(`${other.url}/health`)).status).toBe(200);
  await other.stop();
});

it("ends with the npm that was told to end, which passes that on to nobody but its own child", async () => {
  const other = new Stack();
  const options = ["start", "--", "--no-demo", "--port", "0", "--state", other.dir];
  const npm = spawn("npm", options, { stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  npm.stdout.on("data", (text: Buffer) => (output += text.toString()));
  await until(() => output.includes("Ready") || null);
  npm.kill("SIGTERM");
  // Whoever still serves holds the pipe open.
  await once(npm, "close");
  expect(output).toContain("Stopping ...");
  await other.stop();
});

it("says how to end what still serves after npm start alone was killed", async () => {
  const other = new Stack();
  await other.startCoordinator();
  const { port } = new URL(other.url);
  const orphan = await other.orphanWorkerd();
  try {
    const next = other.launchCoordinator();
    await once(next.child, "close");
    expect(next.child.exitCode).toBe(1);
    expect(next.output()).toContain(`-i tcp:${port} `);
    expect(next.output()).toContain(join(other.dir, "dev.json"));
  } finally {
    orphan.end();
    await other.stop();
  }
});

it("leaves the demo out of a fleet that is in use: its chats would fail, and npm start with them", async () => {
  const used = new Stack();
  try {
    await used.startCoordinator();
    await used.admin.setFlag("assignment_gate", "on");
    await used.killCoordinator();
    const gated = used.launchCoordinator("--once");
    await once(gated.child, "close");
    expect(gated.child.exitCode).toBe(1);
    expect(gated.output()).toContain("The demo is skipped: the flag assignment_gate is on.");

    await used.startCoordinator();
    await used.admin.setFlag("assignment_gate", "off");
    await used.startProvider("mac-own", ["tiny-bard"]);
    await used.killCoordinator();
    const joined = used.launchCoordinator("--once");
    await once(joined.child, "close");
    expect(joined.output()).toContain("The demo is skipped: the fleet has a machine of your own, mac-own.");
  } finally {
    await used.stop();
  }
}, 120_000);
