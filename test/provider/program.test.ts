import { existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { FakeCoordinator, type CoordinatorSocket } from "../support/fake-coordinator.ts";
import { ProviderProcess } from "../support/provider-process.ts";

/** The whole program in a process of its own, with the echo engine and a coordinator on 127.0.0.1. */

let coordinator: FakeCoordinator;
const started: ProviderProcess[] = [];

beforeEach(async () => {
  coordinator = await FakeCoordinator.start();
});
afterEach(async () => {
  for (const program of started.splice(0)) await program.dispose();
  await coordinator.stop();
});

function run(
  argv: readonly string[],
  env: Readonly<Record<string, string>> = {},
  state?: string,
): ProviderProcess {
  const program = new ProviderProcess(argv, env, state);
  started.push(program);
  return program;
}

const TOKEN = { POOLKEEPER_PROVIDER_TOKEN: "the-token" };

function serve(...argv: string[]): ProviderProcess {
  return run(
    ["--coordinator", coordinator.url, "--engine", "echo", "--model", "alpha", "--json", ...argv],
    TOKEN,
  );
}

/** A question whose echo takes one and a half seconds. */
const LONG = { model: "alpha", stream: true, messages: [{ role: "user", content: "word ".repeat(150) }] };

async function startStream(socket: CoordinatorSocket, stream: number): Promise<void> {
  socket.request(stream, { body: LONG });
  await socket.next("inference_accepted");
  await expect.poll(() => socket.streamText(stream)).toContain("word");
}

describe("serving", () => {
  it("connects, registers and answers chat requests as server-sent events", async () => {
    const program = serve("--slots", "3", "--machine-id", "studio-1");
    const socket = await coordinator.nextSocket();
    expect(await socket.next("register")).toMatchObject({
      machine_id: "studio-1",
      backend: "echo",
      models: [{ id: "alpha" }],
      max_concurrency: 3,
    });
    expect(coordinator.upgrades[0]?.headers.authorization).toBe("Bearer the-token");
    expect(await program.logged("serving")).toMatchObject({ model: "alpha", pools: 1 });
    socket.request(5);
    expect(await socket.next("inference_complete")).toMatchObject({ stream: 5, finish_reason: "stop" });
    const chunks = socket.streamText(5).split("\n\n");
    expect(chunks[0]).toContain('"content":"hello"');
    expect(chunks.slice(-2)).toEqual(["data: [DONE]", ""]);
  });

  it("says why it is idle, as the coordinator sees it", async () => {
    coordinator.explanation = {
      gate: "owner_private",
      why: "it serves its owner only",
      fix: "drop --private",
    };
    const program = serve("--private");
    expect(await program.logged("why idle")).toMatchObject({
      gate: "owner_private",
      why: "it serves its owner only",
      fix: "drop --private",
    });
  });

  it("serves its owner only while it is paused, from the next look on and over a restart", async () => {
    const state = mkdtempSync(join(tmpdir(), "paused-"));
    const start = (): ProviderProcess =>
      run(["--coordinator", coordinator.url, "--engine", "echo", "--model", "alpha", "--json"], TOKEN, state);
    const program = start();
    const socket = await coordinator.nextSocket();
    await program.logged("serving");
    expect((await run(["pause"], {}, state).exited).code).toBe(0);
    expect(await program.logged("serving the owner only")).toMatchObject({ because: "paused" });
    socket.request(1);
    expect(await socket.next("inference_error")).toMatchObject({ class: "capacity", code: "no_free_slot" });
    program.signal("SIGTERM");
    await program.exited;
    const again = start();
    expect(await again.logged("serving the owner only")).toMatchObject({ because: "paused" });
    expect((await run(["resume"], {}, state).exited).code).toBe(0);
    await again.logged("serving everybody again");
    await again.dispose();
    rmSync(state, { recursive: true });
  });

  it("sends the answer as one body if no stream was asked for", async () => {
    serve();
    const socket = await coordinator.nextSocket();
    socket.request(1, { body: { model: "an-alias", messages: [{ role: "user", content: "hello there" }] } });
    await socket.next("inference_complete");
    expect(JSON.parse(socket.streamText(1))).toMatchObject({
      model: "an-alias",
      choices: [{ message: { content: "hello there" } }],
    });
  });

  it("[F7] stops a stream on cancel", async () => {
    serve();
    const socket = await coordinator.nextSocket();
    await startStream(socket, 1);
    socket.send({ type: "cancel", request_id: "req_1", stream: 1 });
    expect(await socket.next("inference_error")).toMatchObject({ stream: 1, class: "cancelled" });
    expect(socket.streamText(1)).not.toContain("[DONE]");
  });

  it("[H19] is back after the coordinator has cut the connection, as the same process", async () => {
    serve();
    const first = await coordinator.nextSocket();
    const { session_id } = await first.next("register");
    first.ws.close(1012, "restart");
    const second = await coordinator.nextSocket();
    expect(await second.next("register")).toMatchObject({ session_id });
  });

  it("[H22] keeps its id and key over a restart, but not its session", async () => {
    const program = serve();
    const register = await (await coordinator.nextSocket()).next("register");
    program.signal("SIGTERM");
    await program.exited;
    const again = run(
      ["--coordinator", coordinator.url, "--engine", "echo", "--model", "alpha", "--token", "t"],
      {},
      program.stateDirectory,
    );
    const { machine_id, public_key, session_id } = await (await coordinator.nextSocket()).next("register");
    expect({ machine_id, public_key }).toEqual({
      machine_id: register.machine_id,
      public_key: register.public_key,
    });
    expect(session_id).not.toBe(register.session_id);
    expect(again.stdout).toContain("process list");
  });

  it("serves of a directory what is whole, and loads first what the catalog has", async () => {
    const directory = mkdtempSync(join(tmpdir(), "provider-models-"));
    const whole = `GGUF\x03${"\0".repeat(19)}`;
    for (const name of ["alpha", "beta"]) writeFileSync(join(directory, `${name}.gguf`), whole);
    writeFileSync(join(directory, "broken.gguf"), whole.slice(0, 9));
    coordinator.registered = () => ({ pools: ["beta"] });
    const options = ["--engine", "echo", "--models-dir", directory, "--json", "--token", "t"];
    const program = run(["--coordinator", coordinator.url, ...options]);
    expect(await program.logged("serving")).toMatchObject({ model: "beta" });
    const loads = program.log.filter(({ message }) => message === "loading");
    expect(loads.map(({ model }) => model)).toEqual(["beta"]);
    const warnings = program.log.filter(({ message }) => message.startsWith("skipped"));
    expect(warnings).toEqual([expect.objectContaining({ level: "warn" })]);
    expect(warnings[0]?.message).toContain(join(directory, "broken.gguf is damaged"));
    rmSync(directory, { recursive: true });
  });

  const fullDisk = "/dev/full";
  it.skipIf(!existsSync(fullDisk))("goes on without a log when the disk is full", async () => {
    const argv = ["--coordinator", coordinator.url, "--engine", "echo", "--model", "alpha"];
    const token = { POOLKEEPER_PROVIDER_TOKEN: "t" };
    const program = new ProviderProcess(argv, token, undefined, openSync(fullDisk, "w"));
    started.push(program);
    const socket = await coordinator.nextSocket();
    socket.request(1);
    expect(await socket.next("inference_complete")).toMatchObject({ stream: 1, finish_reason: "stop" });
    program.signal("SIGTERM");
    expect(await program.exited).toEqual({ code: 0, signal: null });
    expect(program.stderr).toBe("");
  });

  it("[H8] [D1] comes back with its assignment after it was killed, and loads that model", async () => {
    const program = serve("--model", "beta");
    const socket = await coordinator.nextSocket();
    await program.logged("serving");
    socket.send({
      type: "assign_model",
      model_id: "beta",
      epoch: 8,
      pools: ["alpha", "beta"],
      reason: "pinned",
      drain_ms: 1000,
      load_ms: 60_000,
    });
    await socket.next("heartbeat", ({ assignment }) => assignment?.epoch === 8);
    program.signal("SIGKILL");
    await program.exited;
    const known = coordinator.sockets.length;
    run(
      ["--coordinator", coordinator.url, "--engine", "echo", "--model", "alpha", "--model", "beta"],
      { POOLKEEPER_PROVIDER_TOKEN: "t" },
      program.stateDirectory,
    );
    await expect.poll(() => coordinator.sockets.length).toBeGreaterThan(known);
    const again = coordinator.sockets[known];
    expect(again?.pool).toBe("beta");
    expect(await again?.next("register")).toMatchObject({ assignment: { model_id: "beta", epoch: 8 } });
    await again?.next("heartbeat", ({ loaded_models }) => loaded_models[0] === "beta");
  });

  it("never logs what is asked or answered, nor the token", async () => {
    const program = serve();
    const socket = await coordinator.nextSocket();
    socket.request(1, { body: { messages: [{ role: "user", content: "xyzzy" }] } });
    await socket.next("inference_complete");
    program.signal("SIGTERM");
    await program.exited;
    expect(program.stdout + program.stderr).not.toMatch(/xyzzy|the-token/);
  });
});

describe("stopping", () => {
  it("announces it on SIGTERM, finishes its streams, closes with 1000 and exits with 0", async () => {
    const program = serve();
    const socket = await coordinator.nextSocket();
    await program.logged("serving");
    await startStream(socket, 1);
    program.signal("SIGTERM");
    await socket.next("heartbeat", ({ accepting }) => !accepting);
    socket.request(2);
    expect(await socket.next("inference_error")).toMatchObject({
      stream: 2,
      class: "capacity",
      code: "stopping",
    });
    expect(await socket.next("inference_complete")).toMatchObject({ stream: 1, finish_reason: "stop" });
    expect(socket.streamText(1)).toMatch(/data: \[DONE\]\n\n$/);
    expect((await socket.closed).code).toBe(1000);
    expect(await program.exited).toEqual({ code: 0, signal: null });
  });

  it("finishes its streams also when its terminal was closed", async () => {
    const fixture = new URL("fixtures/in-a-terminal.ts", import.meta.url).href;
    const program = run(["--coordinator", coordinator.url, "--engine", "echo", "--model", "alpha"], {
      POOLKEEPER_PROVIDER_TOKEN: "t",
      NODE_OPTIONS: `--import ${fixture}`,
    });
    const socket = await coordinator.nextSocket();
    await expect.poll(() => program.stdout).toContain("serving alpha");
    await startStream(socket, 1);
    program.hangUp();
    expect(await socket.next("inference_complete")).toMatchObject({ stream: 1, finish_reason: "stop" });
    expect(await program.exited).toEqual({ code: 0, signal: null });
  });

  it("finishes its streams and ends when nobody reads its log any more", async () => {
    const program = serve();
    const socket = await coordinator.nextSocket();
    await program.logged("serving");
    await startStream(socket, 1);
    program.closeOutput();
    // Gives it something to log.
    socket.request(1, { body: LONG });
    expect(await socket.next("inference_complete")).toMatchObject({ stream: 1, finish_reason: "stop" });
    expect(await program.exited).toEqual({ code: 0, signal: null });
    expect(program.stderr).toBe("");
  });

  it("stops at once on a second signal and exits with 130", async () => {
    const program = serve();
    const socket = await coordinator.nextSocket();
    await startStream(socket, 1);
    program.signal("SIGINT");
    await program.logged("stopping");
    program.signal("SIGINT");
    expect(await program.exited).toEqual({ code: 130, signal: null });
    expect((await socket.closed).code).toBe(1000);
    expect(socket.order).not.toContain("inference_complete");
  });

  it("exits with 3 and a sentence if the coordinator does not want it", async () => {
    const program = serve();
    const socket = await coordinator.nextSocket();
    await socket.next("register");
    socket.ws.close(4005, "revoked");
    expect(await program.exited).toEqual({ code: 3, signal: null });
    expect(program.stdout).toContain("revoked or this machine is quarantined");
  });

  it("says what to check if nobody, or another server, is at the coordinator's address", async () => {
    for (const status of [403, 404]) {
      coordinator.refusal = { status, body: "<html>Not here</html>" };
      await serve().logged("the coordinator refused the connection (check its address)");
    }
    const error = { message: "the model does not exist", code: "model_not_found" };
    coordinator.refusal = { status: 404, body: JSON.stringify({ error }) };
    const unknown = serve();
    await unknown.logged(
      "the coordinator refused the connection (the operator has to add the model to the catalog)",
    );
    await coordinator.stop();
    const alone = serve();
    await alone.logged("cannot reach the coordinator (check its address and the network)");
    coordinator = await FakeCoordinator.start();
  });

  it("exits while it has no connection", async () => {
    coordinator.refusal = { status: 503, headers: { "retry-after": "60" } };
    const program = serve();
    await program.logged("the coordinator refused the connection");
    program.signal("SIGTERM");
    expect(await program.exited).toEqual({ code: 0, signal: null });
  });
});

describe("the command line", () => {
  const version = (
    JSON.parse(readFileSync(new URL("../../provider/package.json", import.meta.url), "utf8")) as {
      version: string;
    }
  ).version;

  it("prints help and version", async () => {
    const help = run(["--help"]);
    const versions = run(["--version"]);
    expect([await help.exited, await versions.exited]).toMatchObject([{ code: 0 }, { code: 0 }]);
    expect(help.stdout).toContain("--coordinator");
    expect(versions.stdout.trim()).toBe(version);
  });

  it.each([
    [["--engine", "echo"], /Which coordinator\?/],
    [
      ["--coordinator", "http://127.0.0.1:1", "--token", "t", "--model", "a=/no/such.gguf"],
      /Cannot open the model file/,
    ],
    [["--coordinator", "http://127.0.0.1:1", "--token", "t"], /No model to serve/],
    [["--nonsense"], /See --help/],
  ])("answers the mistake in %j with one sentence and exit code 2", async (argv, expected) => {
    const program = run(argv);
    expect(await program.exited).toEqual({ code: 2, signal: null });
    expect(program.stderr).toMatch(expected);
    expect(program.stderr.trim().split("\n")).toHaveLength(1);
  });

  it("does not start twice on the same state directory", async () => {
    const first = serve();
    await first.logged("serving");
    const second = run(
      ["--coordinator", coordinator.url, "--engine", "echo", "--model", "alpha", "--token", "t"],
      {},
      first.stateDirectory,
    );
    expect(await second.exited).toEqual({ code: 2, signal: null });
    expect(second.stderr).toContain("is using");
  });
});
