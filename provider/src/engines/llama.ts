import { availableParallelism } from "node:os";

import {
  type EngineRequest,
  type RunResult,
  type EmitAnswerEvent,
  type Engine,
  EngineError,
  MAX_CONTEXT_TOKENS,
  MAX_SLOTS,
  type LoadedModel,
  type LoadOptions,
  type LocalModel,
} from "../engine.ts";
import { settledOrAborted } from "./abortable.ts";
import { type Deferred, deferred } from "./deferred.ts";
import { createEventPipe, type EventPipe } from "./event-pipe.ts";
import type { EngineFailure, LoadCommand, Report } from "./llama-messages.ts";
import { type LlamaProcess, type ProcessEnd, startLlamaProcess } from "./llama-process.ts";

/**
 * The engine `node-llama-cpp`: llama.cpp with prebuilt binaries, one child process per loaded model. This side never
 * loads native code, so that no model file and no fault of the engine can take the connection down with it; ending the
 * process is also the one promise that the memory comes back.
 *
 * Beyond OpenAI's fields a request may carry `grammar` (GBNF, as in llama-server), `top_k`, `min_p` and `repeat_penalty`.
 */
export interface LlamaEngineOptions {
  /** CPU threads; by default all cores but one, and one for tiny models. On Apple silicon the library decides. */
  readonly threads?: number;
  /** `false` keeps the model on the CPU; by default Metal is used where there is one. */
  readonly gpu?: boolean;
  /** Tokens of a prompt evaluated in one piece: how long other streams wait, and an abort. */
  readonly sliceTokens?: number;
  /** A load that takes longer is ended; some damaged files make llama.cpp hang. */
  readonly loadTimeoutMs?: number;
  /** How long an unload may take before the process is ended by force. */
  readonly unloadTimeoutMs?: number;
  /** Lines of the native logger: about files, memory and devices, never about requests. */
  readonly onLog?: (line: string) => void;
}

const DEFAULT_LOAD_TIMEOUT_MS = 15 * 60_000;
const DEFAULT_UNLOAD_TIMEOUT_MS = 5_000;
/** Metal likes larger batches than a CPU; both keep a slice well under a tenth of a second on what they run on. */
const SLICE_TOKENS = { gpu: 512, cpu: 256 };
/**
 * An engine that fails so many requests one after the other will fail the next ones as well: once a command has failed on the
 * GPU, as for lack of memory, llama.cpp wants its Metal backend made anew.
 */
const MAX_FAULTS_IN_ROW = 3;
/** ggml's threads meet after every operation: on a model this small a second one makes it 20 times slower. */
const TINY_MODEL_BYTES = 100_000_000;

export function createLlamaEngine(options: LlamaEngineOptions = {}): Engine {
  return {
    name: "node-llama-cpp",
    load: (model, loadOptions) => LoadedLlama.load(model, loadOptions, options),
  };
}

interface Run {
  readonly pipe: EventPipe;
  /** Whether the client wrote the grammar, which may be at fault itself. */
  readonly hasOwnGrammar: boolean;
  readonly finish: (result: RunResult) => void;
  readonly fail: (error: unknown) => void;
}

class LoadedLlama implements LoadedModel {
  readonly model: LocalModel;
  readonly slots: number;
  readonly died: Promise<EngineError>;
  readonly #process: LlamaProcess;
  readonly #unloadTimeoutMs: number;
  readonly #runs = new Map<number, Run>();
  readonly #ready = deferred<void>();
  #contextTokens: number | null;
  #onProgress: ((progress: number) => void) | null;
  /** Null until somebody has asked for them, and again if they could not be had. */
  #embeddings: Deferred<void> | null = null;
  #nextRun = 0;
  #unloading: Promise<void> | null = null;
  #dead: EngineError | null = null;
  #faultsInRow = 0;
  /** Why its process was ended from here. */
  #broken: EngineError | null = null;

  static async load(model: LocalModel, load: LoadOptions, options: LlamaEngineOptions): Promise<LoadedLlama> {
    load.signal.throwIfAborted();
    const command = toLoadCommand(model, load, options);
    const loaded = new LoadedLlama(model, load, options);
    loaded.#process.send(command);
    const limitMs = options.loadTimeoutMs ?? DEFAULT_LOAD_TIMEOUT_MS;
    const timer = setTimeout(() => {
      loaded.#ready.reject(
        new EngineError("fault", "load_failed", `the load took longer than ${limitMs} ms`),
      );
      loaded.#process.kill();
    }, limitMs);
    const onAbort = (): void => loaded.#ready.reject(load.signal.reason);
    load.signal.addEventListener("abort", onAbort, { once: true });
    try {
      await loaded.#ready.promise;
      return loaded;
    } catch (error) {
      await loaded.unload();
      throw error;
    } finally {
      clearTimeout(timer);
      load.signal.removeEventListener("abort", onAbort);
      loaded.#onProgress = null;
    }
  }

  private constructor(model: LocalModel, load: LoadOptions, options: LlamaEngineOptions) {
    this.model = model;
    this.slots = load.slots;
    this.#contextTokens = load.contextTokens;
    this.#unloadTimeoutMs = options.unloadTimeoutMs ?? DEFAULT_UNLOAD_TIMEOUT_MS;
    this.#onProgress = load.onProgress ?? null;
    this.#process = startLlamaProcess((report) => this.#onReport(report, options.onLog));
    this.died = this.#process.gone.then((end) => this.#onGone(end));
  }

  get contextTokens(): number | null {
    return this.#contextTokens;
  }

  async run(request: EngineRequest, emit: EmitAnswerEvent, signal: AbortSignal): Promise<RunResult> {
    if (this.#dead !== null) throw this.#dead;
    const id = this.#nextRun;
    this.#nextRun += 1;
    const done = deferred<RunResult>();
    const cancel = (): void => this.#process.send({ type: "cancel", id });
    const pipe = createEventPipe(emit, {
      hold: () => this.#process.send({ type: "pause", id }),
      goOn: () => this.#process.send({ type: "resume", id }),
      fail(error) {
        done.reject(error);
        cancel();
      },
    });
    const onAbort = (): void => {
      pipe.close();
      cancel();
    };
    const hasOwnGrammar = request.body["grammar"] != null;
    this.#runs.set(id, { pipe, hasOwnGrammar, finish: done.resolve, fail: done.reject });
    try {
      this.#process.send({ type: "run", id, ...request });
      if (signal.aborted) onAbort();
      else signal.addEventListener("abort", onAbort, { once: true });
      const result = await done.promise;
      await settledOrAborted(pipe.settled(), signal);
      return signal.aborted ? { ...result, finishReason: "cancelled" } : result;
    } finally {
      // Even if the request could not be sent: a run left here would be rejected later, with nobody waiting for it.
      this.#runs.delete(id);
      pipe.close();
      signal.removeEventListener("abort", onAbort);
    }
  }

  async prepareEmbeddings(): Promise<void> {
    if (this.#dead !== null) throw this.#dead;
    if (this.#embeddings === null) {
      this.#embeddings = deferred<void>();
      this.#process.send({ type: "prepare_embeddings" });
    }
    return this.#embeddings.promise;
  }

  unload(): Promise<void> {
    this.#unloading ??= this.#end();
    return this.#unloading;
  }

  #end(): Promise<void> {
    this.#dead ??= new EngineError("fault", "unloaded", "the model was unloaded");
    this.#failRuns(this.#dead);
    return this.#process.end(this.#unloadTimeoutMs);
  }

  #onReport(report: Report, onLog: LlamaEngineOptions["onLog"]): void {
    switch (report.type) {
      case "progress":
        this.#onProgress?.(report.progress);
        break;
      case "log":
        onLog?.(report.line);
        break;
      case "ready":
        this.#contextTokens = report.contextTokens;
        this.#ready.resolve();
        break;
      case "load_failed":
        this.#ready.reject(toError(report.failure));
        break;
      case "embeddings_ready":
        this.#embeddings?.resolve();
        break;
      case "embeddings_failed":
        this.#failEmbeddings(toError(report.failure));
        break;
      case "event":
        this.#runs.get(report.id)?.pipe.push(report.event);
        break;
      case "done":
        if (report.result.finishReason !== "cancelled") this.#faultsInRow = 0;
        this.#take(report.id)?.finish(report.result);
        break;
      case "run_failed":
        this.#onRunFailed(this.#take(report.id), report.failure);
        break;
    }
  }

  #onRunFailed(run: Run | undefined, failure: EngineFailure): void {
    run?.fail(toError(failure));
    if (failure.class !== "fault" || run?.hasOwnGrammar !== false) return;
    this.#faultsInRow += 1;
    if (this.#faultsInRow < MAX_FAULTS_IN_ROW) return;
    const message = `${this.#faultsInRow} requests in a row have failed: ${failure.message}`;
    this.#broken = new EngineError("fault", "engine_broken", message);
    this.#process.kill();
  }

  /** Never resolves for a process that was asked to end. */
  #onGone(end: ProcessEnd): EngineError | Promise<EngineError> {
    if (this.#unloading !== null) return new Promise(() => undefined);
    const description = `the engine's process ended: ${end.description}`;
    const error = this.#broken ?? new EngineError("fault", "engine_crashed", description);
    this.#dead = error;
    this.#ready.reject(error);
    this.#failRuns(error);
    return error;
  }

  #take(id: number): Run | undefined {
    const run = this.#runs.get(id);
    this.#runs.delete(id);
    return run;
  }

  #failRuns(error: EngineError): void {
    for (const run of this.#runs.values()) run.fail(error);
    this.#runs.clear();
    this.#failEmbeddings(error);
  }

  #failEmbeddings(error: EngineError): void {
    this.#embeddings?.reject(error);
    this.#embeddings = null;
  }
}

function toLoadCommand(model: LocalModel, load: LoadOptions, options: LlamaEngineOptions): LoadCommand {
  const { slots, contextTokens } = load;
  if (!Number.isInteger(slots) || slots < 1 || slots > MAX_SLOTS) {
    throw new EngineError("fault", "load_failed", `slots must be 1 to ${MAX_SLOTS}, not ${slots}`);
  }
  const isContext = Number.isInteger(contextTokens ?? 1) && (contextTokens ?? 1) >= 1;
  if (!isContext || (contextTokens ?? 1) > MAX_CONTEXT_TOKENS) {
    throw new EngineError("fault", "load_failed", `contextTokens must be 1 to ${MAX_CONTEXT_TOKENS}`);
  }
  const gpu = options.gpu ?? true;
  const metal = gpu && process.platform === "darwin" && process.arch === "arm64";
  return {
    type: "load",
    path: model.path,
    slots,
    contextTokens,
    gpu,
    threads: options.threads ?? (metal ? null : cpuThreads(model.sizeBytes)),
    sliceTokens: options.sliceTokens ?? (metal ? SLICE_TOKENS.gpu : SLICE_TOKENS.cpu),
  };
}

/** One core is left to Node's own thread: ggml's threads spin while they wait for each other. */
function cpuThreads(sizeBytes: number): number {
  return sizeBytes < TINY_MODEL_BYTES ? 1 : Math.max(1, availableParallelism() - 1);
}

function toError(failure: EngineFailure): EngineError {
  return new EngineError(failure.class, failure.code, failure.message);
}
