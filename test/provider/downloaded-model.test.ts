import { createHash } from "node:crypto";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";

import { afterEach, beforeEach, expect, it } from "vitest";

import { FakeCoordinator } from "../support/fake-coordinator.ts";
import { FileServer } from "../support/file-server.ts";
import { ProviderProcess } from "../support/provider-process.ts";

/** The whole program, llama.cpp and a real model that is somewhere else. */

const BARD = readFileSync(new URL("../../models/tiny-bard.gguf", import.meta.url));
const SHA256 = createHash("sha256").update(BARD).digest("hex");

let coordinator: FakeCoordinator;
let server: FileServer;
const started: ProviderProcess[] = [];

beforeEach(async () => {
  coordinator = await FakeCoordinator.start();
  server = await FileServer.start();
  server.put("/tiny-bard.gguf", BARD);
});
afterEach(async () => {
  for (const program of started.splice(0).toReversed()) await program.dispose();
  await server.stop();
  await coordinator.stop();
});

function run(state?: string, address = `${server.url}/tiny-bard.gguf#sha256=${SHA256}`): ProviderProcess {
  const argv = [
    "--coordinator",
    coordinator.url,
    "--model",
    `tiny-bard=${address}`,
    "--json",
    "--no-caffeinate",
  ];
  const program = new ProviderProcess(argv, { POOLKEEPER_PROVIDER_TOKEN: "t" }, state);
  started.push(program);
  return program;
}

/** The bytes of the first file with this ending; 0 if there is none. */
function kept(program: ProviderProcess, ending: string): number {
  const names = readdirSync(program.stateDirectory, { recursive: true, encoding: "utf8" });
  const name = names.find((each) => each.endsWith(ending));
  return name === undefined ? 0 : statSync(join(program.stateDirectory, name)).size;
}

it("is stopped while it downloads, goes on where it was, and answers with the model, later without a network", async () => {
  const held = server.holdNext(1_000_000);
  const first = run();
  await first.logged("downloading");
  await expect.poll(() => kept(first, ".gguf.part")).toBe(1_000_000);
  first.signal("SIGINT");
  expect(await first.exited).toEqual({ code: 0, signal: null });
  held.cut();
  expect(coordinator.sockets).toEqual([]);

  const second = run(first.stateDirectory);
  const socket = await coordinator.nextSocket();
  expect(await socket.next("register")).toMatchObject({
    models: [{ id: "tiny-bard", size_bytes: BARD.length }],
  });
  await second.logged("serving");
  const messages = [{ role: "user", content: "Who are you?" }];
  socket.request(1, { body: { model: "tiny-bard", messages, temperature: 0 } });
  await socket.next("inference_complete");
  expect(JSON.parse(socket.streamText(1))).toMatchObject({
    choices: [{ message: { content: expect.stringContaining("Tiny Bard") as string } }],
  });
  expect(server.fetches.map(({ from }) => from)).toEqual([0, 1_000_000]);
  second.signal("SIGTERM");
  await second.exited;

  const asked = server.asked.length;
  const third = run(first.stateDirectory);
  await third.logged("serving");
  expect(server.asked).toHaveLength(asked);
});

it("ends with a sentence and exit code 2 if the model is not to be had", async () => {
  const program = run(undefined, `${server.url}/no-such.gguf`);
  expect(await program.exited).toEqual({ code: 2, signal: null });
  expect(program.stderr).toMatch(/^poolkeeper-provider: http.*no-such\.gguf is refused \(status 404\).*\n$/);
});
