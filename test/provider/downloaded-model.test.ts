import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { type CoordinatorSocket, FakeCoordinator } from "../support/fake-coordinator.ts";
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
  return runModels([`tiny-bard=${address}`], state);
}

function runModels(models: readonly string[], state?: string): ProviderProcess {
  const argv = ["--coordinator", coordinator.url, "--json", "--no-caffeinate"];
  for (const model of models) argv.push("--model", model);
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

describe("while another model is on its way", () => {
  const VERSE = readFileSync(new URL("../../models/tiny-verse.gguf", import.meta.url));
  const HERE = `tiny-bard=${fileURLToPath(new URL("../../models/tiny-bard.gguf", import.meta.url))}`;
  const ask = (socket: CoordinatorSocket, stream: number): void =>
    socket.request(stream, {
      body: { model: socket.pool, messages: [{ role: "user", content: "Who are you?" }], temperature: 0 },
    });
  let coming: string;
  beforeEach(() => {
    server.put("/tiny-verse.gguf", VERSE);
    coming = `tiny-verse=${server.url}/tiny-verse.gguf`;
  });

  it("serves what is here, and offers that one as soon as it is whole", async () => {
    const held = server.holdNext(1_000_000);
    const program = runModels([coming, HERE]);
    const bard = await coordinator.nextSocket();
    expect(bard.pool).toBe("tiny-bard");
    expect((await bard.next("register")).models.map(({ id }) => id)).toEqual(["tiny-bard"]);
    expect(await program.logged("starting")).toMatchObject({
      models: "tiny-bard",
      downloading: "tiny-verse",
    });
    await expect.poll(() => kept(program, ".gguf.part")).toBe(1_000_000);
    ask(bard, 1);
    await bard.next("inference_complete");
    expect(bard.streamText(1)).toContain("Tiny Bard");

    held.cut();
    await program.logged("offering");
    const verse = await coordinator.nextSocket();
    expect(verse.pool).toBe("tiny-verse");
    expect((await verse.next("register")).models.map(({ id }) => id)).toEqual(["tiny-bard", "tiny-verse"]);
    ask(verse, 1);
    await verse.next("inference_complete");
    expect(verse.streamText(1)).toContain("Tiny Verse");
    expect(coordinator.sockets).toHaveLength(2);
  });

  it("tells who has ordered that one where it is", async () => {
    const state = mkdtempSync(join(tmpdir(), "provider-"));
    try {
      writeFileSync(join(state, "assignment.json"), JSON.stringify({ model_id: "tiny-verse", epoch: 5 }));
      const order = { model_id: "tiny-verse", epoch: 5, drain_ms: 1000, load_ms: 60_000 };
      coordinator.registered = () => ({ pools: ["tiny-verse"], assignment: order });
      const held = server.holdNext(1_000_000);
      const program = runModels([HERE, coming], state);
      const before = await coordinator.nextSocket();
      const failed = await before.next("assign_model_status", ({ status }) => status === "failed");
      expect(failed.error?.code).toBe("model_not_on_disk");
      expect(failed.error?.message).toMatch(/^no file for tiny-verse: it is (still to be|being) downloaded$/);
      await expect.poll(() => kept(program, ".gguf.part")).toBe(1_000_000);
      held.cut();

      const after = await coordinator.nextSocket();
      expect((await after.next("register")).models.map(({ id }) => id)).toEqual(["tiny-bard", "tiny-verse"]);
      after.send({ type: "assign_model", ...order, epoch: 6, pools: ["tiny-verse"], reason: "again" });
      await after.next("assign_model_status", ({ status, epoch }) => status === "succeeded" && epoch === 6);
    } finally {
      for (const program of started.splice(0)) await program.dispose();
      rmSync(state, { recursive: true });
    }
  });

  it("serves on if that one is not to be had, and says so", async () => {
    const program = runModels([HERE, `gone=${server.url}/no-such.gguf`]);
    const said = await program.logged("cannot download a model now: going on without it");
    expect(said).toMatchObject({ model: "gone", retryMs: 300_000 });
    expect(said["reason"]).toContain("status 404");
    expect((await program.logged("why idle"))["coming"]).toBe(
      "gone: it could not be downloaded so far; the provider's log says why",
    );
    await program.logged("serving");
    program.signal("SIGTERM");
    expect(await program.exited).toEqual({ code: 0, signal: null });
  });

  it("waits for the first if there is no other, and for no more", async () => {
    const first = server.holdNext(1_000_000);
    server.holdNext(1_000_000);
    const program = runModels([coming, `tiny-bard=${server.url}/tiny-bard.gguf`]);
    await program.logged("downloading");
    await expect.poll(() => kept(program, ".gguf.part")).toBe(1_000_000);
    expect(coordinator.upgrades).toEqual([]);
    first.cut();
    const socket = await coordinator.nextSocket();
    expect(socket.pool).toBe("tiny-verse");
    expect(await program.logged("starting")).toMatchObject({
      models: "tiny-verse",
      downloading: "tiny-bard",
    });
  });

  it("ends at a signal, with what is there of it kept", async () => {
    server.holdNext(1_000_000);
    const program = runModels([HERE, coming]);
    await program.logged("serving");
    await expect.poll(() => kept(program, ".gguf.part")).toBe(1_000_000);
    program.signal("SIGTERM");
    expect(await program.exited).toEqual({ code: 0, signal: null });
    expect(kept(program, ".gguf.part")).toBe(1_000_000);
    expect(kept(program, "lock.json")).toBe(0);
  });
});
