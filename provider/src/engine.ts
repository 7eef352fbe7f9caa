import { reasonOf } from "./reason.ts";

/**
 * The interface of an inference engine: load one model, run requests on it, unload it. An engine holds one model at a time;
 * the agent unloads before it loads, so an engine never has to make room.
 */

/** A model on this machine. */
export interface LocalModel {
  /** The catalog id under which the coordinator knows it. */
  readonly id: string;
  /** Absolute path of the GGUF file; for a server engine, the server's name for the model. */
  readonly path: string;
  readonly sizeBytes: number;
}

/** Upper limits of the options. llama.cpp does not refuse an absurd context size: it hangs while allocating it. */
export const MAX_SLOTS = 64;
export const MAX_CONTEXT_TOKENS = 1_048_576;

/**
 * Context of a slot where nobody has said how much, in tokens. With the least an engine serves or does not load; what most
 * clients send fits into the most, and more would take memory that nobody has asked for.
 */
export const AUTO_CONTEXT = { least: 4096, most: 32_768 } as const;

export interface LoadOptions {
  /** Sequences decoded at once; each has its own context. */
  readonly slots: number;
  /** Context of each slot, in tokens; null: as much as the engine finds sensible here. */
  readonly contextTokens: number | null;
  /** Aborting gives up the load and frees its memory; `load` then rejects with the signal's reason. */
  readonly signal: AbortSignal;
  /** Called with 0..1, never after `load` has settled. */
  readonly onProgress?: (progress: number) => void;
}

export interface Engine {
  /** Sent as `register.backend`, for example `node-llama-cpp`. */
  readonly name: string;
  /**
   * Loads a model and warms it with one token; resolves when it can serve at full speed.
   * @throws EngineError with a code that says whether the file, the memory or the engine is at fault.
   */
  load(model: LocalModel, options: LoadOptions): Promise<LoadedModel>;
}

export interface LoadedModel {
  readonly model: LocalModel;
  readonly slots: number;
  /**
   * What fits into each slot, prompt and answer together; less than asked for if the model was trained for less. Null if the
   * engine does not know.
   */
  readonly contextTokens: number | null;
  /**
   * Runs one chat completion or embeddings request. At most `slots` calls are open at once; the agent makes sure of that.
   * Resolves also when the request was aborted (`finishReason: "cancelled"`); no event is emitted after it settles.
   * @throws EngineError of class `client` for an invalid request, `fault` for a failure of the engine.
   */
  run(request: EngineRequest, emit: EmitAnswerEvent, signal: AbortSignal): Promise<RunResult>;
  /**
   * Allocates what embeddings need beyond the model itself, unless that was done before. Called before an embeddings request
   * is accepted, because an accepted request cannot be refused for lack of memory any more.
   * @throws EngineError `insufficient_memory` or another failure; a later call may succeed.
   */
  prepareEmbeddings(): Promise<void>;
  /** Frees the memory, by force if necessary. Open runs reject with a fault. Safe to call twice. */
  unload(): Promise<void>;
  /** Resolves if the engine crashes, or fails one request after the other; never after `unload` was called. */
  readonly died: Promise<EngineError>;
}

export interface EngineRequest {
  /** Only the engine knows whether the model supports the task; if not, it throws a `client` error, `unsupported`. */
  readonly task: "chat" | "embeddings";
  /** The OpenAI request body as the client sent it. Only checked so far: a chat's `messages` is an array. */
  readonly body: Readonly<Record<string, unknown>>;
}

/** A piece of a chat's answer, in the order the model wrote it. */
export type ChatEvent =
  | { readonly type: "content"; readonly text: string }
  | { readonly type: "reasoning"; readonly text: string }
  /** First piece of a tool call: `index` counts the calls of this answer from 0. */
  | { readonly type: "tool_call"; readonly index: number; readonly id: string; readonly name: string }
  /** More JSON text of that call's arguments. */
  | { readonly type: "tool_arguments"; readonly index: number; readonly text: string };

/** The vector of one text, normalized to length 1. Emitted in the order of the texts, after all of them were validated. */
export interface EmbeddingEvent {
  readonly type: "embedding";
  /** Index of the text, from 0. */
  readonly index: number;
  readonly vector: Float32Array<ArrayBuffer>;
}

export type AnswerEvent = ChatEvent | EmbeddingEvent;

/**
 * Takes one event. A returned promise means that the reader is behind: the engine should wait for it before it
 * generates further, if it can.
 */
export type EmitAnswerEvent = (event: AnswerEvent) => void | Promise<void>;

/** Usage and timings of a request. Embeddings have no completion tokens and no decode time. */
export interface RunResult {
  readonly finishReason: "stop" | "length" | "tool_calls" | "cancelled";
  readonly usage: {
    readonly promptTokens: number;
    readonly completionTokens: number;
    /** Prompt tokens that were still in the slot's KV cache. */
    readonly cachedTokens: number;
    /** Completion tokens that were thoughts; absent if the engine cannot tell. */
    readonly reasoningTokens?: number;
  };
  /** Time to evaluate the prompt, and from the first token to the last. */
  readonly prefillMs: number;
  readonly decodeMs: number;
  /** The stop sequence that ended the answer; absent if none did. */
  readonly stopText?: string | undefined;
}

/** `client`: a retry elsewhere is pointless. `capacity`: another machine may have room. `fault`: this machine has failed. */
export type EngineErrorClass = "client" | "capacity" | "fault";

export class EngineError extends Error {
  override readonly name = "EngineError";
  readonly class: EngineErrorClass;
  /** A closed word for programs: `context_length_exceeded`, `invalid_request`, `load_failed`, `engine_crashed` ... */
  readonly code: string;
  /** Resolves when the cause is gone, if the engine can tell; until then a retry is pointless. */
  readonly over: Promise<void> | undefined;

  constructor(
    errorClass: EngineErrorClass,
    code: string,
    message: string,
    options?: ErrorOptions & { readonly over?: Promise<void> },
  ) {
    super(message, options);
    this.class = errorClass;
    this.code = code;
    this.over = options?.over;
  }
}

/** Converts anything that an engine throws into an EngineError; `code` is used if it has none. */
export function asEngineError(cause: unknown, code: string): EngineError {
  if (cause instanceof EngineError) return cause;
  return new EngineError("fault", code, reasonOf(cause), { cause });
}
