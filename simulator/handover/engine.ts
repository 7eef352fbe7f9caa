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
import type { ProcessClock } from "./clock.ts";
import type { Dice } from "./random.ts";

/** A simulated engine: loads take time, and sometimes fail, hang for a while or crash. */

export interface EngineHost {
  readonly clock: ProcessClock;
  readonly dice: Dice;
  /** Whether faults may happen now. */
  isFaulty(): boolean;
  onBreach(what: string): void;
  onLoad(model: string): void;
  /** A model is being unloaded, or its load was aborted. */
  onDropped(model: string, startedUnder: string): void;
  /** The assignment on the machine's disk at this moment. */
  assignment(): string;
}

export class SimEngine implements Engine {
  readonly name = "simulated";
  /** Models that take up memory: loaded, being loaded or being unloaded. */
  readonly resident = new Set<string>();
  loaded: SimLoaded | null = null;
  readonly #host: EngineHost;

  constructor(host: EngineHost) {
    this.#host = host;
  }

  load(model: LocalModel, { signal, slots, contextTokens, onProgress }: LoadOptions): Promise<LoadedModel> {
    const host = this.#host;
    const { clock, dice } = host;
    const others = [...this.resident].join(" ");
    if (others !== "") host.onBreach(`[5] ${model.id} is loaded beside ${others}`);
    this.resident.add(model.id);
    const startedUnder = host.assignment();
    host.onLoad(model.id);
    const isFaulty = host.isFaulty();
    const takesMs = isFaulty && dice.chance(0.04) ? dice.whole(170_000, 240_000) : dice.whole(500, 25_000);
    const willFail = isFaulty && dice.chance(0.08);
    return new Promise((resolve, reject) => {
      let isOver = false;
      const end = (finish: () => void): void => {
        if (isOver) return;
        isOver = true;
        finish();
      };
      const fail = (error: unknown): void => {
        this.resident.delete(model.id);
        reject(error instanceof Error ? error : new Error(String(error)));
      };
      clock.after(Math.floor(takesMs / 2), () => {
        if (!isOver) onProgress?.(0.5);
      });
      clock.after(takesMs, () =>
        end(() => {
          if (willFail) {
            fail(new EngineError("fault", "load_failed", "the file is damaged"));
            return;
          }
          this.loaded = new SimLoaded(this, host, model, slots, contextTokens, startedUnder);
          resolve(this.loaded);
        }),
      );
      signal.addEventListener("abort", () => {
        if (isOver) return;
        host.onDropped(model.id, startedUnder);
        clock.after(dice.whole(1, 800), () => end(() => fail(signal.reason)));
      });
    });
  }
}

export class SimLoaded implements LoadedModel {
  readonly model: LocalModel;
  readonly slots: number;
  readonly contextTokens: number | null;
  readonly died: Promise<EngineError>;
  readonly #engine: SimEngine;
  readonly #host: EngineHost;
  readonly #startedUnder: string;
  readonly #runs = new Set<(error: EngineError) => void>();
  #die: (error: EngineError) => void = () => {};
  #isGone = false;

  constructor(
    engine: SimEngine,
    host: EngineHost,
    model: LocalModel,
    slots: number,
    contextTokens: number | null,
    startedUnder: string,
  ) {
    this.#engine = engine;
    this.#host = host;
    this.model = model;
    this.slots = slots;
    this.contextTokens = contextTokens;
    this.#startedUnder = startedUnder;
    this.died = new Promise((resolve) => {
      this.#die = resolve;
    });
  }

  run(_request: EngineRequest, emit: EmitAnswerEvent, signal: AbortSignal): Promise<RunResult> {
    const { clock, dice } = this.#host;
    const pieces = dice.whole(1, 4);
    const everyMs = dice.chance(0.1) ? dice.whole(5000, 30_000) : dice.whole(20, 3000);
    return new Promise((resolve, reject) => {
      const over = (finishReason: RunResult["finishReason"]): void => {
        this.#runs.delete(reject);
        const usage = { promptTokens: 1, completionTokens: pieces, cachedTokens: 0 };
        resolve({ finishReason, usage, prefillMs: 1, decodeMs: 1 });
      };
      const write = (left: number): void => {
        if (signal.aborted || !this.#runs.has(reject)) return;
        void emit({ type: "content", text: "word" });
        clock.after(everyMs, () => {
          if (signal.aborted || !this.#runs.has(reject)) return;
          if (left > 1) write(left - 1);
          else over("stop");
        });
      };
      this.#runs.add(reject);
      signal.addEventListener("abort", () => clock.after(dice.whole(1, 300), () => over("cancelled")));
      clock.after(everyMs, () => write(pieces));
    });
  }

  /** Not used in this simulation. */
  prepareEmbeddings(): Promise<void> {
    return Promise.resolve();
  }

  unload(): Promise<void> {
    if (this.#isGone) return Promise.resolve();
    this.#isGone = true;
    this.#host.onDropped(this.model.id, this.#startedUnder);
    this.#endRuns(() => new EngineError("fault", "unloaded", "the model was unloaded"));
    this.#engine.loaded = null;
    return new Promise((resolve) => {
      this.#host.clock.after(this.#host.dice.whole(1, 500), () => {
        this.#engine.resident.delete(this.model.id);
        resolve();
      });
    });
  }

  /** Crashes the engine. */
  die(): void {
    if (this.#isGone) return;
    this.#isGone = true;
    const error = new EngineError("fault", "engine_crashed", "SIGABRT");
    this.#engine.loaded = null;
    this.#engine.resident.delete(this.model.id);
    this.#endRuns(() => error);
    this.#die(error);
  }

  #endRuns(error: () => EngineError): void {
    for (const reject of this.#runs) {
      this.#runs.delete(reject);
      reject(error());
    }
  }
}
