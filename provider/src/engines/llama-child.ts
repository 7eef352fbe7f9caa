import { type AnswerEvent, EngineError, type EngineRequest, type RunResult } from "../engine.ts";
import { unsupported } from "../request-errors.ts";
import { type Deferred, deferred } from "./deferred.ts";
import { runChat } from "./llama-chat.ts";
import type { LlamaHost, RunControl } from "./llama-host.ts";
import { loadLlama } from "./llama-loader.ts";
import {
  type EngineFailure,
  type LoadCommand,
  type Command,
  commandSchema,
  type Report,
} from "./llama-messages.ts";

/**
 * The process that holds one model. A damaged file can abort llama.cpp in native code, where nothing can be caught; so
 * it lives here, and its parent, which holds the connection, only sees this process end. It obeys the commands that come
 * over its channel and never outlives the parent.
 */

interface Run {
  readonly abort: AbortController;
  /** Set while the reader is behind; generation waits for it. */
  pause: Deferred<void> | null;
}

/** Progress is for people to look at. */
const PROGRESS_INTERVAL_MS = 50;
/** Disposing that takes longer than this hangs; without a parent nobody else would end the process. */
const ORPHAN_LIMIT_MS = 5_000;

const loading = new AbortController();
const runs = new Map<number, Run>();
let loaded: Promise<LlamaHost | null> = Promise.resolve(null);

function obey(command: Command): void {
  switch (command.type) {
    case "load":
      loaded = load(command);
      break;
    case "run":
      void run(command.id, command);
      break;
    case "prepare_embeddings":
      void prepareEmbeddings();
      break;
    case "cancel":
      runs.get(command.id)?.abort.abort(new Error("cancelled"));
      break;
    case "pause": {
      const paused = runs.get(command.id);
      if (paused !== undefined) paused.pause ??= deferred<void>();
      break;
    }
    case "resume": {
      const resumed = runs.get(command.id);
      resumed?.pause?.resolve();
      if (resumed !== undefined) resumed.pause = null;
      break;
    }
    case "dispose":
      void dispose();
      break;
  }
}

async function load(command: LoadCommand): Promise<LlamaHost | null> {
  let sentAt = -Infinity;
  let best = -1;
  const onProgress = (progress: number): void => {
    const now = performance.now();
    if (progress <= best || (now - sentAt < PROGRESS_INTERVAL_MS && progress < 1)) return;
    sentAt = now;
    best = progress;
    send({ type: "progress", progress });
  };
  try {
    onProgress(0);
    const host = await loadLlama(
      command,
      { onProgress, onLog: (line) => send({ type: "log", line }) },
      loading.signal,
    );
    const gpu = host.llama.gpu === false ? "cpu" : host.llama.gpu;
    const engine = `llama.cpp ${host.llama.llamaCppRelease.release} ${gpu}`;
    send({ type: "ready", contextTokens: host.contextTokens, engine });
    return host;
  } catch (error) {
    send({ type: "load_failed", failure: toFailure(error) });
    return null;
  }
}

async function prepareEmbeddings(): Promise<void> {
  try {
    await (await loadedHost()).embedder.prepare();
    send({ type: "embeddings_ready" });
  } catch (error) {
    send({ type: "embeddings_failed", failure: toFailure(error) });
  }
}

async function loadedHost(): Promise<LlamaHost> {
  const host = await loaded;
  if (host === null) throw new EngineError("fault", "engine_failed", "no model is loaded");
  return host;
}

async function run(id: number, request: EngineRequest): Promise<void> {
  const state: Run = { abort: new AbortController(), pause: null };
  runs.set(id, state);
  // A cancelled run must not wait for a reader that will never come back.
  state.abort.signal.addEventListener("abort", () => state.pause?.resolve());
  try {
    const result = await answer(await loadedHost(), request, {
      signal: state.abort.signal,
      emit: (event) => send({ type: "event", id, event }),
      mayGoOn: async () => {
        while (state.pause !== null && !state.abort.signal.aborted) await state.pause.promise;
      },
    });
    send({
      type: "done",
      id,
      result: { ...result, usage: { ...result.usage, reasoningTokens: result.usage.reasoningTokens ?? 0 } },
    });
  } catch (error) {
    send({ type: "run_failed", id, failure: toFailure(error) });
  } finally {
    runs.delete(id);
  }
}

function answer(
  { chats, embedder }: LlamaHost,
  { task, body }: EngineRequest,
  control: RunControl<AnswerEvent>,
): Promise<RunResult> {
  if (task === "embeddings") return embedder.run(body, control);
  if (chats !== null) return runChat(chats, body, control);
  throw unsupported("model: this model makes vectors of texts and cannot write; ask it for embeddings");
}

/** Frees the model before the process ends: on a Mac, buffers that are alive at exit abort it. */
async function dispose(): Promise<never> {
  loading.abort(new Error("the load was given up"));
  for (const { abort } of runs.values()) abort.abort(new Error("the model is being unloaded"));
  const host = await loaded;
  await host?.dispose();
  process.exit(0);
}

function send(report: Report): void {
  // A parent that has just gone away is noticed by `disconnect`.
  if (process.connected) process.send?.(report, () => undefined);
}

function toFailure(error: unknown): EngineFailure {
  if (error instanceof EngineError) return { class: error.class, code: error.code, message: error.message };
  const name = error instanceof Error ? error.constructor.name : "unknown error";
  return { class: "fault", code: "engine_failed", message: `the engine failed: ${name}` };
}

process.on("message", (message) => obey(commandSchema.parse(message)));
process.on("disconnect", () => {
  setTimeout(() => process.kill(process.pid, "SIGKILL"), ORPHAN_LIMIT_MS).unref();
  void dispose();
});
// A terminal sends Ctrl-C to the whole group and SIGHUP when it is closed, service managers do the same with SIGTERM.
// The parent drains first and then says `dispose`; running requests would be lost if this process went at once.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => undefined);
// The library starts work that nobody waits for. Its failure is no reason to end the streams of every other slot.
process.on("unhandledRejection", (error) => {
  send({ type: "log", line: `error: ${toFailure(error).message}` });
});
