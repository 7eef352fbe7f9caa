import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { EngineError, type LoadedModel } from "../../provider/src/engine.ts";
import {
  createCommandHost,
  type CommandHostOptions,
} from "../../provider/src/engines/server/command-host.ts";
import { createServerEngine } from "../../provider/src/engines/server/server-engine.ts";
import { startServerProcess } from "../../provider/src/engines/server/server-process.ts";
import { FakeCoordinator } from "../support/fake-coordinator.ts";
import { ProviderProcess } from "../support/provider-process.ts";
import { ask, failure, hello } from "./engine-questions.ts";

/** Servers that are started for a model and ended with it. */

const NODE = `"${process.execPath}"`;
const SERVER = `${NODE} "${fileURLToPath(new URL("fixtures/openai-server.ts", import.meta.url))}"`;

let folder: string;
const logged: string[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "poolkeeper-server-"));
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
  rmSync(folder, { recursive: true, force: true });
  logged.splice(0);
});

interface LoadOfServer extends Partial<CommandHostOptions> {
  readonly contextTokens?: number | null;
  readonly signal?: AbortSignal;
}

function load(
  command: string,
  { signal, contextTokens = 512, endLimitMs = 60_000, ...options }: LoadOfServer = {},
): Promise<LoadedModel> {
  const log = (line: string): void => void logged.push(line);
  return createServerEngine(createCommandHost({ command, endLimitMs, log, ...options }), log).load(
    { id: "alpha", path: "/models/a b.gguf", sizeBytes: 0 },
    { slots: 3, contextTokens, signal: signal ?? new AbortController().signal },
  );
}

/** The command, which leaves the id of the process in a file of this name. */
const noting = (name: string, command: string): string =>
  `echo $$ > "${join(folder, name)}"; exec ${command}`;

function pidIn(name: string): number {
  const path = join(folder, name);
  return existsSync(path) ? Number(readFileSync(path, "utf8")) : 0;
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

describe("a command", () => {
  it("is told the model, its port, the slots and the context", async () => {
    const print = 'printf "%s|%s|%s" "$MODEL" "$SLOTS" "$CONTEXT"';
    const loaded = await load(`${print} > "${join(folder, "told")}"; exec ${SERVER}`);
    expect(readFileSync(join(folder, "told"), "utf8")).toBe("/models/a b.gguf|3|512");
    expect((await ask(loaded, hello())).content).toBe("Hello, who are you?");
    await loaded.unload();
  });

  it("that takes the context as it is told has that much, and any other says so itself or is not known", async () => {
    const taking = await load(`: $CONTEXT; exec ${SERVER}`, { contextTokens: null });
    expect(taking.contextTokens).toBe(4096);
    await taking.unload();
    const other = await load(`exec ${SERVER}`, { contextTokens: null });
    expect(other.contextTokens).toBe(null);
    await other.unload();
  });

  it("that ends before its server is ready fails the load; why, only this machine is told", async () => {
    const error = await failure(load("echo cannot open /Users/me/a.gguf >&2; exit 3"));
    expect(error).toMatchObject({ class: "fault", code: "load_failed" });
    expect(error.message).toContain("exit code 3");
    expect(error.message).not.toContain("/Users/me");
    expect(logged).toEqual(["model server: cannot open /Users/me/a.gguf"]);
  });

  it("whose server hangs while nothing runs is ended by force, so that it can be started anew", async () => {
    const times = { watchMs: 1, answerLimitMs: 100 };
    const loaded = await load(noting("pid", SERVER), { endLimitMs: 50, times });
    process.kill(pidIn("pid"), "SIGSTOP");
    expect(await loaded.died).toMatchObject({ class: "fault", code: "engine_hangs" });
    await loaded.unload();
    expect(isRunning(pidIn("pid"))).toBe(false);
  });

  it("that is given up while it loads is ended", async () => {
    const abort = new AbortController();
    const loading = load(noting("pid", "sleep 600"), { signal: abort.signal });
    await expect.poll(() => pidIn("pid")).toBeGreaterThan(0);
    const reason = new Error("another model is wanted");
    abort.abort(reason);
    await expect(loading).rejects.toBe(reason);
    expect(isRunning(pidIn("pid"))).toBe(false);
    expect(logged).toEqual([]);
  });

  it("that is never ready leaves its last words in this machine's log", async () => {
    const abort = new AbortController();
    const loading = load(`printf "no such option --port" >&2; ${noting("pid", "sleep 600")}`, {
      signal: abort.signal,
    });
    await expect.poll(() => pidIn("pid")).toBeGreaterThan(0);
    const reason = new EngineError("fault", "load_failed", "the load took longer than 10 minutes");
    abort.abort(reason);
    await expect(loading).rejects.toBe(reason);
    expect(logged).toEqual(["model server: no such option --port"]);
  });

  it("takes with it what it has started itself", async () => {
    const child = `sh -c '${noting("child", "sleep 600")}' &`;
    const loaded = await load(`${child} ${SERVER}; true`);
    await expect.poll(() => pidIn("child")).toBeGreaterThan(0);
    await loaded.unload();
    expect(isRunning(pidIn("child"))).toBe(false);
  });

  it("that does not want to end is ended by force", async () => {
    const deaf = `trap "" TERM; ${NODE} -e 'process.on("SIGTERM", () => {}); setInterval(() => {}, 1e6)' & echo $! > "${join(folder, "deaf")}"; exec ${SERVER}`;
    const loaded = await load(deaf, { endLimitMs: 1 });
    await expect.poll(() => pidIn("deaf")).toBeGreaterThan(0);
    await loaded.unload();
    expect(isRunning(pidIn("deaf"))).toBe(false);
  });

  it("that dies ends the model, and what it has left behind", async () => {
    const child = `sh -c '${noting("child", "sleep 600")}' &`;
    const loaded = await load(`${child} ${noting("pid", SERVER)}`);
    await expect.poll(() => pidIn("child")).toBeGreaterThan(0);
    process.kill(pidIn("pid"), "SIGKILL");
    expect(await loaded.died).toMatchObject({ class: "fault", code: "engine_crashed" });
    expect(isRunning(pidIn("child"))).toBe(false);
    expect(await failure(ask(loaded, hello()))).toMatchObject({ code: "engine_crashed" });
  });

  it("that prints without end is read without end, and its words about requests go nowhere", async () => {
    const chatty = `${NODE} -e 'setInterval(() => console.log("prompt: secret ".repeat(1000)), 1)' &`;
    const loaded = await load(`${chatty} ${noting("pid", SERVER)}`);
    for (let i = 0; i < 20; i += 1) await ask(loaded, hello());
    process.kill(pidIn("pid"), "SIGKILL");
    await loaded.died;
    expect(logged).toEqual([]);
  });
});

describe("a process", () => {
  it("that never ends a line is not kept in memory", async () => {
    const server = startServerProcess("head -c 10000000 /dev/zero | tr '\\0' x; echo; echo done", {});
    await server.gone;
    await server.end(0);
    const words = server.lastWords();
    expect(words.at(-1)).toBe("done");
    expect(words.join("").length).toBeLessThan(5000);
  });

  it("that is dead is not waited for because nobody buries it", async () => {
    const server = startServerProcess("exit 0", {});
    await server.gone;
    vi.spyOn(process, "kill").mockReturnValue(true);
    vi.useFakeTimers({ toFake: ["setTimeout", "performance"] });
    const ended = vi.fn<() => void>();
    void server.end(1000).then(ended);
    await vi.advanceTimersByTimeAsync(5900);
    expect(ended).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(400);
    expect(ended).toHaveBeenCalled();
  });
});

describe("the program", () => {
  let coordinator: FakeCoordinator;
  const started: ProviderProcess[] = [];
  beforeEach(async () => {
    coordinator = await FakeCoordinator.start();
  });
  afterEach(async () => {
    for (const program of started.splice(0)) await program.dispose();
    await coordinator.stop();
  });

  function serve(command: string): ProviderProcess {
    const models = ["--model", "alpha=first", "--model", "beta=second"];
    const program = new ProviderProcess(
      ["--coordinator", coordinator.url, "--server-command", command, ...models, "--json"],
      { POOLKEEPER_PROVIDER_TOKEN: "the-token", HF_TOKEN: "hf_x" },
    );
    started.push(program);
    return program;
  }

  it("starts the server of one model after the other, and never two at a time", async () => {
    const program = serve(`echo "$MODEL $$" >> "${join(folder, "starts")}"; exec ${SERVER}`);
    const first = await coordinator.nextSocket();
    expect(await first.next("register")).toMatchObject({
      backend: "openai-server",
      models: [{ id: "alpha" }, { id: "beta" }],
    });
    await program.logged("serving");
    first.request(1, { model_id: "beta", body: { messages: [{ role: "user", content: "hello there" }] } });
    await first.next("inference_complete");
    expect(JSON.parse(first.streamText(1))).toMatchObject({
      model: "beta",
      choices: [{ message: { content: "hello there" } }],
    });
    const starts = readFileSync(join(folder, "starts"), "utf8").trim().split("\n");
    expect(starts.map((line) => line.split(" ")[0])).toEqual(["first", "second"]);
    expect(starts.map((line) => isRunning(Number(line.split(" ")[1])))).toEqual([false, true]);
  });

  it("gives its server the token of Hugging Face, which may fetch models by itself, and not its own", async () => {
    serve(`env > "${join(folder, "env")}"; exec ${SERVER}`);
    await (await coordinator.nextSocket()).next("register");
    const told = readFileSync(join(folder, "env"), "utf8");
    expect(told).toContain("HF_TOKEN=hf_x");
    expect(told).not.toContain("the-token");
  });

  it.each(["SIGTERM", "SIGKILL"] as const)("ends its server when it ends by %s", async (signal) => {
    const program = serve(noting("pid", SERVER));
    await (await coordinator.nextSocket()).next("register");
    expect(isRunning(pidIn("pid"))).toBe(true);
    program.signal(signal);
    await program.exited;
    await expect.poll(() => isRunning(pidIn("pid"))).toBe(false);
  });
});
