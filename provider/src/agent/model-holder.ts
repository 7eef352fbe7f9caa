import {
  asEngineError,
  EngineError,
  type Engine,
  type LoadedModel,
  type LoadOptions,
  type LocalModel,
} from "../engine.ts";
import type { Clock, Log } from "./ports.ts";

/**
 * Holds at most one model in memory. `hold` swaps it: the old model is unloaded completely before the next one is
 * loaded, because two models in memory slow each other down far more than a reload costs. A newer call supersedes an
 * older one, which then frees what it had loaded and does nothing else (F14).
 */

/** A longer load is considered hung and is aborted. Large files on slow disks need minutes. */
const LOAD_LIMIT_MS = 10 * 60_000;

export type Holding =
  | { readonly status: "empty" }
  | {
      /** From the moment the previous model starts to go until this one is warm. */
      readonly status: "loading";
      readonly model: LocalModel;
      readonly abort: AbortController;
      readonly outcome: Promise<LoadedModel>;
    }
  | { readonly status: "loaded"; readonly loaded: LoadedModel };

export interface ModelHolderHost {
  /** What is held has changed. */
  onChange(): void;
  /** How much of the load under way is done, 0 to 1. */
  onProgress(progress: number): void;
  /** A load failed by itself; it was not given up. */
  onLoadFailed(model: LocalModel, error: EngineError): void;
  /** The engine of a loaded model ended by itself; its open runs reject. */
  onDied(model: LocalModel, error: EngineError): void;
}

export interface ModelHolderPorts {
  readonly clock: Clock;
  readonly engine: Engine;
  readonly log: Log;
}

export class ModelHolder {
  readonly #options: Pick<LoadOptions, "slots" | "contextTokens">;
  readonly #host: ModelHolderHost;
  readonly #ports: ModelHolderPorts;
  #holding: Holding = { status: "empty" };
  /** Context of each model as it was last loaded, in tokens. */
  readonly #contexts = new Map<string, number>();
  /** Settles when all work of earlier `hold` and `release` calls has ended; the next call waits for it. */
  #tail: Promise<void> = Promise.resolve();
  #progress = 0;

  constructor(
    options: Pick<LoadOptions, "slots" | "contextTokens">,
    host: ModelHolderHost,
    ports: ModelHolderPorts,
  ) {
    this.#options = options;
    this.#host = host;
    this.#ports = ports;
  }

  holding(): Holding {
    return this.#holding;
  }

  /** The model that is loaded or being loaded; null if there is none. */
  modelId(): string | null {
    switch (this.#holding.status) {
      case "empty":
        return null;
      case "loading":
        return this.#holding.model.id;
      case "loaded":
        return this.#holding.loaded.model.id;
    }
  }

  isLoading(id: string): boolean {
    return this.#holding.status === "loading" && this.#holding.model.id === id;
  }

  /** Whether the model is loaded and ready. */
  holds(id: string): boolean {
    return this.#holding.status === "loaded" && this.#holding.loaded.model.id === id;
  }

  /** Of the model being loaded, 0 to 1. */
  progress(): number {
    return this.#progress;
  }

  /** Requests that may run at once: what the engine granted, or what it will be asked for. */
  slots(): number {
    return this.#holding.status === "loaded" ? this.#holding.loaded.slots : this.#options.slots;
  }

  /** What a request for the model may take up, in tokens: as it was when last loaded, else as it will be; null if nobody knows. */
  contextOf(id: string): number | null {
    return this.#contexts.get(id) ?? this.#options.contextTokens;
  }

  /**
   * Makes `model` the one that is held, and returns it ready to serve; joins a load of the same model.
   * The caller makes sure that nothing runs on the old model.
   * @throws EngineError if the load failed or another call took over.
   */
  hold(model: LocalModel): Promise<LoadedModel> {
    const before = this.#holding;
    if (before.status === "loaded" && before.loaded.model.id === model.id)
      return Promise.resolve(before.loaded);
    if (before.status === "loading" && before.model.id === model.id) return before.outcome;
    const abort = new AbortController();
    const clear = this.#clear(before, "another model is wanted now");
    const outcome = clear.then(() => this.#load(model, abort));
    this.#tail = settled(outcome);
    this.#progress = 0;
    this.#set({ status: "loading", model, abort, outcome });
    return outcome;
  }

  /** Frees the memory: unloads what is loaded, gives up what is being loaded. */
  release(reason: string): Promise<void> {
    const before = this.#holding;
    if (before.status !== "empty") {
      this.#tail = this.#clear(before, reason);
      this.#set({ status: "empty" });
    }
    return this.#tail;
  }

  async #clear(before: Holding, reason: string): Promise<void> {
    if (before.status === "loading") {
      before.abort.abort(new EngineError("capacity", "switching_model", reason));
    }
    await this.#tail;
    if (before.status === "loaded") await this.#unload(before.loaded);
  }

  async #load(model: LocalModel, abort: AbortController): Promise<LoadedModel> {
    const { clock, engine, log } = this.#ports;
    const startedAt = clock.now();
    const cancelLimit = clock.after(LOAD_LIMIT_MS, () =>
      abort.abort(new EngineError("fault", "load_failed", "the load took longer than 10 minutes")),
    );
    log.info("loading", { model: model.id });
    try {
      abort.signal.throwIfAborted();
      const loaded = await engine.load(model, {
        ...this.#options,
        signal: abort.signal,
        onProgress: (progress) => {
          if (abort.signal.aborted) return;
          this.#progress = progress;
          this.#host.onProgress(progress);
        },
      });
      if (abort.signal.aborted) {
        await this.#unload(loaded);
        abort.signal.throwIfAborted();
      }
      const { slots, contextTokens } = loaded;
      log.info("loaded", { model: model.id, ms: clock.now() - startedAt, slots, contextTokens });
      if (contextTokens === null) this.#contexts.delete(model.id);
      else this.#contexts.set(model.id, contextTokens);
      this.#set({ status: "loaded", loaded });
      void this.#watch(loaded);
      return loaded;
    } catch (cause) {
      const error = asEngineError(cause, "load_failed");
      const isOurs = this.#holding.status === "loading" && this.#holding.abort === abort;
      if (isOurs) {
        this.#set({ status: "empty" });
        log.error("load failed", { model: model.id, code: error.code, detail: error.message });
        this.#host.onLoadFailed(model, error);
      }
      throw error;
    } finally {
      cancelLimit();
    }
  }

  async #watch(loaded: LoadedModel): Promise<void> {
    const error = await loaded.died;
    if (this.#holding.status !== "loaded" || this.#holding.loaded !== loaded) return;
    this.#ports.log.error("the engine died", {
      model: loaded.model.id,
      code: error.code,
      detail: error.message,
    });
    this.#tail = this.#unload(loaded);
    this.#set({ status: "empty" });
    this.#host.onDied(loaded.model, error);
  }

  async #unload(loaded: LoadedModel): Promise<void> {
    try {
      await loaded.unload();
      this.#ports.log.info("unloaded", { model: loaded.model.id });
    } catch (cause) {
      const { code, message } = asEngineError(cause, "unload_failed");
      this.#ports.log.error("unload failed", { model: loaded.model.id, code, detail: message });
    }
  }

  #set(holding: Holding): void {
    this.#holding = holding;
    this.#host.onChange();
  }
}

async function settled(promise: Promise<unknown>): Promise<void> {
  try {
    await promise;
  } catch {
    // The caller of `hold` gets the error.
  }
}
