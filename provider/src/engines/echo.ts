import type { Clock } from "../agent/ports.ts";
import { type AnswerForm, parseAnswerForm } from "../chat/answer-form.ts";
import { type ChatTurn, parseMessages } from "../chat/messages.ts";
import { parseParams } from "../chat/params.ts";
import { normalized, parseInputs } from "../embeddings.ts";
import {
  AUTO_CONTEXT,
  type ChatEvent,
  type EngineRequest,
  type RunResult,
  type EmitAnswerEvent,
  type Engine,
  EngineError,
  type LoadedModel,
  type LoadOptions,
  type LocalModel,
} from "../engine.ts";
import { contextLengthExceeded, textTooLong } from "../request-errors.ts";
import { exampleOf } from "../schema/schema-example.ts";
import { SYSTEM_CLOCK } from "../system-clock.ts";
import { settledOrAborted } from "./abortable.ts";
import { deferred } from "./deferred.ts";

/**
 * The engine `echo`: no model, it repeats the last thing the user said, word by word. A word counts as a token, and the
 * vector of a text says how often which words are in it. Requests are read by the same code as for real models, so it
 * refuses what they refuse, and it keeps to the same contract; its time comes from a clock that a simulation can turn.
 */
export interface EchoEngineOptions {
  /** Words a second of each slot. */
  readonly tokensPerSecond?: number;
  readonly loadMs?: number;
  readonly prefillMs?: number;
  readonly clock?: Clock;
  /** Asked at the end of each load; what it returns is thrown. */
  readonly failLoad?: (model: LocalModel) => EngineError | null;
  /** Asked before each word of an answer; what it returns is thrown. */
  readonly failRun?: (request: EngineRequest, tokensWritten: number) => EngineError | null;
}

export interface EchoEngine extends Engine {
  /** Ends the loaded models as if their process had died. */
  crash(): void;
}

const DEFAULT_TOKENS_PER_SECOND = 100;
const LOAD_STEPS = 4;
/** Numbers in its vectors. */
const ECHO_DIMENSIONS = 64;

export function createEchoEngine(options: EchoEngineOptions = {}): EchoEngine {
  const loaded = new Set<LoadedEcho>();
  return {
    name: "echo",
    async load(model, load) {
      const echo = new LoadedEcho(model, load, options);
      await echo.load(load);
      loaded.add(echo);
      return echo;
    },
    crash() {
      for (const echo of loaded) echo.crash();
      loaded.clear();
    },
  };
}

class LoadedEcho implements LoadedModel {
  readonly model: LocalModel;
  readonly slots: number;
  readonly contextTokens: number;
  readonly died: Promise<EngineError>;
  readonly #options: EchoEngineOptions;
  readonly #clock: Clock;
  readonly #death = deferred<EngineError>();
  /** Aborted when the model is gone, with the error that its runs end with. */
  readonly #gone = new AbortController();
  #running = 0;
  #calls = 0;

  constructor(model: LocalModel, load: LoadOptions, options: EchoEngineOptions) {
    this.model = model;
    this.slots = load.slots;
    this.contextTokens = load.contextTokens ?? AUTO_CONTEXT.least;
    this.died = this.#death.promise;
    this.#options = options;
    this.#clock = options.clock ?? SYSTEM_CLOCK;
  }

  async load({ signal, onProgress }: LoadOptions): Promise<void> {
    for (let step = 0; step <= LOAD_STEPS; step += 1) {
      signal.throwIfAborted();
      onProgress?.(step / LOAD_STEPS);
      if (step < LOAD_STEPS) await this.#sleep((this.#options.loadMs ?? 0) / LOAD_STEPS, signal);
    }
    const error = this.#options.failLoad?.(this.model) ?? null;
    if (error !== null) throw error;
  }

  crash(): void {
    if (this.#gone.signal.aborted) return;
    const error = new EngineError("fault", "engine_crashed", "the echo engine was told to crash");
    this.#gone.abort(error);
    this.#death.resolve(error);
  }

  async prepareEmbeddings(): Promise<void> {
    this.#gone.signal.throwIfAborted();
  }

  async unload(): Promise<void> {
    this.#gone.abort(new EngineError("fault", "unloaded", "the model was unloaded"));
  }

  async run(request: EngineRequest, emit: EmitAnswerEvent, signal: AbortSignal): Promise<RunResult> {
    this.#gone.signal.throwIfAborted();
    if (this.#running >= this.slots) {
      throw new EngineError("capacity", "no_free_slot", "all slots of the model are busy");
    }
    this.#running += 1;
    try {
      const stop = AbortSignal.any([signal, this.#gone.signal]);
      return await (request.task === "chat"
        ? this.#answer(request, emit, stop)
        : this.#embed(request, emit, stop));
    } finally {
      this.#running -= 1;
    }
  }

  async #answer(request: EngineRequest, emit: EmitAnswerEvent, stop: AbortSignal): Promise<RunResult> {
    const params = parseParams(request.body);
    const form = parseAnswerForm(request.body);
    const turns = parseMessages(request.body["messages"]);
    const promptTokens = turns.reduce((sum, turn) => sum + words(turn.text).length + 1, 0);
    const room = this.contextTokens - promptTokens;
    if (room < 1) throw contextLengthExceeded(promptTokens, this.contextTokens);
    const limit = Math.min(params.maxTokens ?? room, room);
    const [said, stopText] = cutAtStop(echoed(turns), params.stop);
    const answer = this.#events(form, said);
    const startedAt = this.#clock.now();
    await this.#sleep(this.#options.prefillMs ?? 0, stop);
    const firstTokenAt = this.#clock.now();
    let written = 0;
    let lastTokenAt = firstTokenAt;
    for (const event of answer) {
      if (stop.aborted || written >= limit) break;
      const error = this.#options.failRun?.(request, written) ?? null;
      if (error !== null) throw error;
      const behind = emit(event);
      if (behind instanceof Promise) await settledOrAborted(behind, stop);
      if (event.type === "tool_call") continue;
      written += 1;
      lastTokenAt = this.#clock.now();
      await this.#sleep(1000 / (this.#options.tokensPerSecond ?? DEFAULT_TOKENS_PER_SECOND), stop);
    }
    this.#gone.signal.throwIfAborted();
    const cut = written < answer.filter((event) => event.type !== "tool_call").length;
    const natural = form.type === "forced_tool" ? "tool_calls" : "stop";
    const finishReason = stop.aborted ? "cancelled" : cut ? "length" : natural;
    return {
      finishReason,
      usage: { promptTokens, completionTokens: written, cachedTokens: 0, reasoningTokens: 0 },
      prefillMs: firstTokenAt - startedAt,
      decodeMs: lastTokenAt - firstTokenAt,
      stopText: finishReason === "stop" ? stopText : undefined,
    };
  }

  async #embed({ body }: EngineRequest, emit: EmitAnswerEvent, stop: AbortSignal): Promise<RunResult> {
    const texts = parseInputs(body, ECHO_DIMENSIONS).map(({ text, name }) => {
      const read = words(text);
      if (read.length > this.contextTokens) throw textTooLong(name, read.length, this.contextTokens);
      return read;
    });
    const startedAt = this.#clock.now();
    for (const [index, text] of texts.entries()) {
      await this.#sleep(this.#options.prefillMs ?? 0, stop);
      if (stop.aborted) break;
      const behind = emit({ type: "embedding", index, vector: countedWords(text) });
      if (behind instanceof Promise) await settledOrAborted(behind, stop);
    }
    this.#gone.signal.throwIfAborted();
    return {
      finishReason: stop.aborted ? "cancelled" : "stop",
      usage: { promptTokens: texts.flat().length, completionTokens: 0, cachedTokens: 0 },
      prefillMs: this.#clock.now() - startedAt,
      decodeMs: 0,
    };
  }

  #events(form: AnswerForm, text: string): ChatEvent[] {
    if (form.type === "text" || form.type === "tools") {
      return words(text).map((word) => ({ type: "content", text: word }));
    }
    if (form.type === "json" || form.type === "json_or_tool") {
      return words(JSON.stringify(exampleOf(form.schema, text))).map((word) => ({
        type: "content",
        text: word,
      }));
    }
    const [tool] = form.tools;
    if (tool === undefined) return [];
    this.#calls += 1;
    const args = words(JSON.stringify(exampleOf(tool.parameters, text)));
    return [
      { type: "tool_call", index: 0, id: `call_${this.#calls}`, name: tool.name },
      ...args.map((word): ChatEvent => ({ type: "tool_arguments", index: 0, text: word })),
    ];
  }

  async #sleep(ms: number, signal: AbortSignal): Promise<void> {
    const slept = deferred<void>();
    const cancel = this.#clock.after(ms, slept.resolve);
    await settledOrAborted(slept.promise, signal);
    cancel();
  }
}

/** What the user said last; after tool calls, what the tools said. */
function echoed(turns: readonly ChatTurn[]): string {
  const last = turns.at(-1);
  if (last?.role === "assistant" && last.calls.length > 0) {
    return last.calls
      .map(({ result }) => (typeof result === "string" ? result : JSON.stringify(result)))
      .join("\n");
  }
  return (turns.findLast(({ role }) => role === "user") ?? last)?.text ?? "";
}

/** What comes before the first of the stop texts, and which one that is. */
function cutAtStop(text: string, stops: readonly string[]): [text: string, stopText: string | undefined] {
  const found = stops.filter((stop) => text.includes(stop));
  const [first] = found.toSorted((a, b) => text.indexOf(a) - text.indexOf(b));
  return first === undefined ? [text, undefined] : [text.slice(0, text.indexOf(first)), first];
}

/** Texts with the same words have the same vector, and the more words they share, the nearer theirs are. */
function countedWords(text: readonly string[]): Float32Array<ArrayBuffer> {
  const counts = Array.from({ length: ECHO_DIMENSIONS }, () => 0);
  for (const word of text) {
    const place = hashOf(word.trim()) % ECHO_DIMENSIONS;
    counts[place] = (counts[place] ?? 0) + 1;
  }
  return normalized(counts) ?? new Float32Array(ECHO_DIMENSIONS);
}

function hashOf(word: string): number {
  let hash = 0;
  for (const char of word) hash = (Math.imul(hash, 31) + (char.codePointAt(0) ?? 0)) >>> 0;
  return hash;
}

/** Each word with the blanks before it, so that the pieces make up the text again. */
function words(text: string): string[] {
  return text.match(/\s*\S+|\s+$/g) ?? [];
}
