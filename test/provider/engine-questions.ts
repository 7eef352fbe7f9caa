import {
  type AnswerEvent,
  type ChatEvent,
  type RunResult,
  EngineError,
  type LoadedModel,
} from "../../provider/src/engine.ts";

/** Requests for an engine, and what comes of them. */

export type Body = Record<string, unknown>;

export interface Answer {
  readonly events: readonly ChatEvent[];
  readonly result: RunResult;
  readonly content: string;
  readonly args: string;
}

export function hello(): Body {
  return { messages: [{ role: "user", content: "Hello, who are you?" }] };
}

export function tool(name: string, parameters: unknown) {
  return { type: "function", function: { name, description: `does ${name}`, parameters } };
}

export function strictNumber(keywords: Body): Body {
  const schema = { type: "object", properties: { x: { type: "number", ...keywords } }, required: ["x"] };
  return {
    ...hello(),
    response_format: { type: "json_schema", json_schema: { name: "x", strict: true, schema } },
  };
}

interface AskOptions {
  readonly signal?: AbortSignal;
  readonly onEvent?: (event: ChatEvent, index: number) => void | Promise<void>;
}

/** Runs one request to its end and keeps what it emitted. */
export async function ask(loaded: LoadedModel, body: Body, options: AskOptions = {}): Promise<Answer> {
  const events: ChatEvent[] = [];
  const emit = (event: AnswerEvent): void | Promise<void> => {
    if (event.type === "embedding") throw new Error("a chat was answered with a vector");
    events.push(event);
    return options.onEvent?.(event, events.length - 1);
  };
  const result = await loaded.run(
    { task: "chat", body },
    emit,
    options.signal ?? new AbortController().signal,
  );
  const textOf = (type: ChatEvent["type"]): string =>
    events.map((event) => (event.type === type && "text" in event ? event.text : "")).join("");
  return { events, result, content: textOf("content"), args: textOf("tool_arguments") };
}

export interface Vectors {
  readonly vectors: readonly (readonly number[])[];
  readonly result: RunResult;
}

/** Has texts made vectors, and keeps them as they came. */
export async function embed(
  loaded: LoadedModel,
  body: Body,
  { signal = new AbortController().signal, onVector }: EmbedOptions = {},
): Promise<Vectors> {
  const vectors: number[][] = [];
  const emit = (event: AnswerEvent): void | Promise<void> => {
    if (event.type !== "embedding") throw new Error(`vectors were asked for, and there came ${event.type}`);
    if (event.index !== vectors.length) throw new Error(`vector ${event.index} came out of turn`);
    vectors.push([...event.vector]);
    return onVector?.(event.index);
  };
  const result = await loaded.run({ task: "embeddings", body }, emit, signal);
  return { vectors, result };
}

interface EmbedOptions {
  readonly signal?: AbortSignal;
  readonly onVector?: (index: number) => void | Promise<void>;
}

/** The error a promise rejects with; any other outcome fails the test. */
export async function failure(promise: Promise<unknown>): Promise<EngineError> {
  const error = await promise.then(
    () => new Error("resolved where it should have rejected"),
    (reason: unknown) => reason,
  );
  if (error instanceof EngineError) return error;
  throw error;
}
