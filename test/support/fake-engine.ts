import {
  EngineError,
  type EngineRequest,
  type RunResult,
  type EmitAnswerEvent,
  type Engine,
  type LoadedModel,
  type LoadOptions,
  type LocalModel,
} from "../../provider/src/engine.ts";

/** An engine that does nothing by itself: a test ends each load and writes each answer by hand. */
export class FakeEngine implements Engine {
  readonly name = "fake";
  /** Every load so far, the newest last. */
  readonly loads: FakeLoad[] = [];
  /** What happened, in order: `load a`, `ready a`, `unload a`. */
  readonly events: string[] = [];
  /** Loads end at once, unless a test wants to end them itself. */
  holdLoads = false;
  grantSlots: number | null = null;
  grantContext: number | null = null;

  load(model: LocalModel, options: LoadOptions): Promise<LoadedModel> {
    const load = new FakeLoad(this, model, options);
    this.loads.push(load);
    this.events.push(`load ${model.id}`);
    if (!this.holdLoads) load.succeed();
    return load.outcome;
  }

  lastLoad(): FakeLoad {
    const load = this.loads.at(-1);
    if (load === undefined) throw new Error("nothing was loaded");
    return load;
  }

  /** The newest open run of the newest model. */
  lastRun(): FakeRun {
    const run = this.lastLoad().loaded.runs.at(-1);
    if (run === undefined) throw new Error("nothing runs");
    return run;
  }
}

export class FakeLoad {
  readonly model: LocalModel;
  readonly options: LoadOptions;
  readonly loaded: FakeLoaded;
  readonly outcome: Promise<LoadedModel>;
  readonly #settle: PromiseWithResolvers<LoadedModel> = Promise.withResolvers();
  readonly #engine: FakeEngine;
  /** Set to play an engine that does not notice an abort. */
  ignoresAbort = false;
  #hasEnded = false;

  constructor(engine: FakeEngine, model: LocalModel, options: LoadOptions) {
    this.#engine = engine;
    this.model = model;
    this.options = options;
    this.outcome = this.#settle.promise;
    const contextTokens = engine.grantContext ?? options.contextTokens;
    this.loaded = new FakeLoaded(engine, model, engine.grantSlots ?? options.slots, contextTokens);
    options.signal.addEventListener("abort", () => {
      if (this.#hasEnded || this.ignoresAbort) return;
      this.#hasEnded = true;
      engine.events.push(`aborted ${model.id}`);
      this.#settle.reject(options.signal.reason);
    });
  }

  succeed(): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.loaded.isHeld = true;
    this.#engine.events.push(`ready ${this.model.id}`);
    this.#settle.resolve(this.loaded);
  }

  fail(error: EngineError = new EngineError("fault", "load_failed", "the file is damaged")): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#settle.reject(error);
  }
}

export class FakeLoaded implements LoadedModel {
  readonly model: LocalModel;
  readonly slots: number;
  readonly contextTokens: number | null;
  readonly died: Promise<EngineError>;
  readonly runs: FakeRun[] = [];
  /** Whether it takes up memory. */
  isHeld = false;
  /** What comes of taking the memory that embeddings need. */
  embeddings: Promise<void> = Promise.resolve();
  readonly #engine: FakeEngine;
  readonly #death: PromiseWithResolvers<EngineError> = Promise.withResolvers();
  #isUnloaded = false;

  constructor(engine: FakeEngine, model: LocalModel, slots: number, contextTokens: number | null) {
    this.#engine = engine;
    this.model = model;
    this.slots = slots;
    this.contextTokens = contextTokens;
    this.died = this.#death.promise;
  }

  run(request: EngineRequest, emit: EmitAnswerEvent, signal: AbortSignal): Promise<RunResult> {
    const run = new FakeRun(request, emit, signal);
    this.runs.push(run);
    return run.outcome;
  }

  prepareEmbeddings(): Promise<void> {
    return this.embeddings;
  }

  unload(): Promise<void> {
    if (!this.#isUnloaded) this.#engine.events.push(`unload ${this.model.id}`);
    this.#isUnloaded = true;
    this.isHeld = false;
    for (const run of this.runs) run.fail(new EngineError("fault", "unloaded", "the model was unloaded"));
    return Promise.resolve();
  }

  die(): void {
    const error = new EngineError("fault", "engine_crashed", "SIGABRT");
    for (const run of this.runs) run.fail(error);
    this.isHeld = false;
    this.#death.resolve(error);
  }
}

export class FakeRun {
  readonly request: EngineRequest;
  readonly signal: AbortSignal;
  readonly outcome: Promise<RunResult>;
  /** Set to play an engine that does not notice an abort. */
  ignoresAbort = false;
  hasEnded = false;
  /** All that was written before the abort, if there was one. */
  written = "";
  readonly #emit: EmitAnswerEvent;
  readonly #settle: PromiseWithResolvers<RunResult> = Promise.withResolvers();

  constructor(request: EngineRequest, emit: EmitAnswerEvent, signal: AbortSignal) {
    this.request = request;
    this.signal = signal;
    this.#emit = emit;
    this.outcome = this.#settle.promise;
    signal.addEventListener("abort", () => {
      if (!this.ignoresAbort) this.finish("cancelled");
    });
  }

  /** Emits a piece of text and returns what the reader answered. */
  write(text: string): void | Promise<void> {
    if (!this.signal.aborted) this.written += text;
    return this.#emit({ type: "content", text });
  }

  embed(index: number, vector: Float32Array<ArrayBuffer>): void | Promise<void> {
    return this.#emit({ type: "embedding", index, vector });
  }

  finish(finishReason: RunResult["finishReason"] = "stop", usage: Partial<RunResult["usage"]> = {}): void {
    this.hasEnded = true;
    this.#settle.resolve({
      finishReason,
      usage: { promptTokens: 7, completionTokens: 3, cachedTokens: 2, ...usage },
      prefillMs: 11.5,
      decodeMs: 22,
    });
  }

  fail(error: unknown): void {
    this.hasEnded = true;
    this.#settle.reject(error);
  }
}
