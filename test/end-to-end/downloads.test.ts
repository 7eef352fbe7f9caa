import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";

import { afterAll, afterEach, beforeAll, expect, it } from "vitest";

import { ROOT } from "../../scripts/root.ts";
import { tinyModel } from "../../scripts/tiny-model.ts";
import { FileServer } from "../support/file-server.ts";
import { ask, longStream, type LongStream, Stack, Traffic, until } from "./stack.ts";

/** A machine that serves one model while it downloads the other, with real processes, sockets and models. */

const MODELS = ["tiny-bard", "tiny-verse"] as const;

const stack = new Stack();
const servers: FileServer[] = [];

beforeAll(async () => {
  await stack.startCoordinator();
  await stack.admin.addToCatalog(MODELS.map(tinyModel));
});

afterEach(async () => {
  for (const server of servers.splice(0)) await server.stop();
});

afterAll(() => stack.stop());

interface Downloading {
  readonly program: ChildProcess;
  /** Lets the rest of tiny-verse come. */
  readonly finish: () => void;
  /** Whether it has come. */
  readonly isWhole: () => boolean;
}

/** Starts a machine that has tiny-bard, and tiny-verse in part. */
async function startDownloading(machine: string): Promise<Downloading> {
  const server = await FileServer.start();
  servers.push(server);
  server.put("/tiny-verse.gguf", readFileSync(join(ROOT, "models/tiny-verse.gguf")));
  const { cut } = server.holdNext(1_000_000);
  const verse = `tiny-verse=${server.url}/tiny-verse.gguf`;
  const program = await stack.startProvider(machine, "tiny-bard", ["--model", verse]);
  let output = "";
  program.stdout?.on("data", (chunk) => (output += String(chunk)));
  await until(() => (server.fetches.length > 0 ? true : null));
  return { program, finish: cut, isWhole: () => output.includes('"message":"offering"') };
}

/** What the fleet takes to be on the machine's disk. */
async function knownModels(machine: string): Promise<string[]> {
  const headers = { authorization: `Bearer ${stack.dev.admin_token}` };
  const answer = await fetch(`${stack.url}/v1/admin/machines/${machine}`, { headers });
  return ((await answer.json()) as { models: string[] }).models;
}

const becomes = (model: string, outcome: string): Promise<true> =>
  until(async () => (await ask(stack.client(), model)) === outcome || null);

it("serves what it has, and what it gets as soon as it has it", async () => {
  const { program, finish } = await startDownloading("mac-downloads");
  expect(await ask(stack.client(), "tiny-bard")).toBe("tiny-bard");
  expect(await ask(stack.client(), "tiny-verse")).toBe("503 model_unavailable");
  finish();
  await becomes("tiny-verse", "tiny-verse");
  expect(await ask(stack.client(), "tiny-bard")).toBe("tiny-bard");
  program.kill("SIGTERM");
  await once(program, "exit");
});

it("keeps its order and every answer when it tells of a new model, and may then be moved to that", async () => {
  const machine = "mac-managed-downloads";
  const { finish, isWhole } = await startDownloading(machine);
  await stack.admin.setFlag("assignment_gate", "on");
  const epoch = await stack.admin.pin(machine, "tiny-bard");
  await until(async () => (await stack.admin.machine(machine)).state === "assigned" || null);
  await becomes("tiny-bard", "tiny-bard");
  const order = (): Promise<number> => stack.admin.pin(machine, "tiny-verse");
  await expect(order()).rejects.toThrow(/does not have .*tiny-verse.* on its disk/);

  const traffic = new Traffic(stack.client(), ["tiny-bard"]);
  const begin = (): Promise<LongStream> => longStream(stack.client(), "tiny-bard");
  const streams = [await begin()];
  finish();
  // It comes while some of them run, and one begins when it has come.
  while (!isWhole()) streams.push(await begin());
  streams.push(await begin());
  await until(async () => {
    expect(await stack.admin.machine(machine)).toMatchObject({ assigned_model: "tiny-bard", epoch });
    return (await knownModels(machine)).length === 2 || null;
  });
  await until(async () => (await stack.admin.machine(machine)).state === "assigned" || null);
  for (const { outcome } of streams) expect(["length", "stop"]).toContain(await outcome);
  expect([...(await traffic.stop()).entries()]).toEqual([["tiny-bard", ["tiny-bard"]]]);
  expect(await order()).toBe(epoch + 1);
  await becomes("tiny-verse", "tiny-verse");
});
