import { z } from "zod";

import { MAX_COUNT } from "../../../../protocol/limits.ts";
import { type ChatEvent, EngineError, type RunResult } from "../../engine.ts";
import { brokenStream } from "./server-errors.ts";

/** A server's stream of chat chunks, read into the engine's events and how it went. Sans IO; one of these reads one answer. */

const count = z.number().min(0).max(MAX_COUNT).transform(Math.round);

const callSchema = z.object({
  index: z.int().min(0).optional(),
  id: z.string().nullish(),
  function: z
    .object({
      name: z.string().nullish(),
      arguments: z.union([z.string(), z.record(z.string(), z.unknown())]).nullish(),
    })
    .nullish(),
});

const chunkSchema = z.object({
  choices: z
    .array(
      z.object({
        delta: z
          .object({
            content: z.string().nullish(),
            reasoning_content: z.string().nullish(),
            reasoning: z.string().nullish().catch(null),
            tool_calls: z.array(callSchema).nullish(),
          })
          .nullish(),
        finish_reason: z.string().nullish(),
        stop_reason: z.unknown().optional(),
      }),
    )
    .nullish(),
  usage: z
    .object({
      prompt_tokens: count,
      completion_tokens: count.optional(),
      prompt_tokens_details: z.object({ cached_tokens: count.nullish() }).nullish().catch(null),
      completion_tokens_details: z.object({ reasoning_tokens: count.nullish() }).nullish().catch(null),
    })
    .nullish()
    .catch(null),
  /** llama-server measures by itself, without the time that a request waited for a slot. */
  timings: z
    .object({ prompt_ms: z.number().min(0), predicted_ms: z.number().min(0), cache_n: count.optional() })
    .nullish()
    .catch(null),
  error: z.unknown().optional(),
});

type Chunk = z.infer<typeof chunkSchema>;
type Call = z.infer<typeof callSchema>;

/** Of a token, for servers that do not count. */
const BYTES_PER_TOKEN = 4;

export class ChatReader {
  readonly #now: () => number;
  readonly #startedAt: number;
  readonly #promptBytes: number;
  #firstAt: number | null = null;
  #lastAt = 0;
  #pieces = 0;
  /** The newest call at each index of the server's, and how many there are. */
  readonly #calls = new Map<number, { readonly index: number; readonly id: string | null }>();
  #callCount = 0;
  #hasBegun = false;
  #finish: string | null = null;
  #stopText: string | undefined;
  #usage: Chunk["usage"] = null;
  #timings: Chunk["timings"] = null;

  /**
   * @param promptBytes by which the prompt's tokens are estimated if the server does not count them.
   * @param now milliseconds of a clock that only goes forward; read at once for the beginning.
   */
  constructor(promptBytes: number, now: () => number) {
    this.#promptBytes = promptBytes;
    this.#now = now;
    this.#startedAt = now();
  }

  /**
   * Reads the data of one server-sent event.
   * @throws EngineError if it is an error, or nothing that a chat could say.
   */
  read(data: string): readonly ChatEvent[] {
    this.#hasBegun = true;
    const chunk = parseChunk(data);
    if (chunk.error != null) throw brokenStream(chunk.error);
    this.#usage = chunk.usage ?? this.#usage;
    this.#timings = chunk.timings ?? this.#timings;
    const [choice] = chunk.choices ?? [];
    if (choice === undefined) return [];
    // Some say it is empty until it is there.
    if (choice.finish_reason != null && choice.finish_reason !== "") this.#finish = choice.finish_reason;
    if (typeof choice.stop_reason === "string") this.#stopText = choice.stop_reason;
    const { content, reasoning_content, reasoning, tool_calls } = choice.delta ?? {};
    const events: ChatEvent[] = [];
    const thought = reasoning_content ?? reasoning ?? "";
    if (thought !== "") events.push({ type: "reasoning", text: thought });
    if (content != null && content !== "") events.push({ type: "content", text: content });
    for (const [place, call] of (tool_calls ?? []).entries()) events.push(...this.#readCall(call, place));
    if (events.length > 0) this.#wrote();
    return events;
  }

  /**
   * How it went.
   * @throws EngineError if the stream has ended without saying why.
   */
  result(): RunResult {
    if (this.#finish === null) {
      const what = this.#hasBegun ? "broke off in the middle of an answer" : "does not answer with a stream";
      throw new EngineError("fault", "server_failed", `the model server ${what}`);
    }
    return { ...this.#sum(), finishReason: this.#finishReason(this.#finish), stopText: this.#stopText };
  }

  /** What there is to say of an answer that was given up. */
  cancelled(): RunResult {
    return { ...this.#sum(), finishReason: "cancelled" };
  }

  #sum(): Pick<RunResult, "usage" | "prefillMs" | "decodeMs"> {
    const usage = this.#usage;
    const reasoningTokens = usage?.completion_tokens_details?.reasoning_tokens;
    const firstAt = this.#firstAt ?? this.#now();
    return {
      usage: {
        promptTokens: usage?.prompt_tokens ?? Math.ceil(this.#promptBytes / BYTES_PER_TOKEN),
        completionTokens: usage?.completion_tokens ?? this.#pieces,
        cachedTokens: usage?.prompt_tokens_details?.cached_tokens ?? this.#timings?.cache_n ?? 0,
        ...(reasoningTokens == null ? {} : { reasoningTokens }),
      },
      prefillMs: this.#timings?.prompt_ms ?? firstAt - this.#startedAt,
      decodeMs: this.#timings?.predicted_ms ?? Math.max(0, this.#lastAt - firstAt),
    };
  }

  /** Some servers say `stop` after calls, as OpenAI does after a forced one. */
  #finishReason(said: string): RunResult["finishReason"] {
    if (said === "length") return "length";
    return this.#callCount > 0 ? "tool_calls" : "stop";
  }

  #readCall({ index, id, function: called }: Call, place: number): ChatEvent[] {
    const events: ChatEvent[] = [];
    const key = index ?? place;
    let call = this.#calls.get(key);
    const name = called?.name ?? "";
    if (call === undefined || beginsAnother(call, id, name)) {
      if (name === "")
        throw new EngineError("fault", "server_failed", "the model server calls a tool without a name");
      call = { index: this.#callCount, id: id ?? null };
      this.#callCount += 1;
      this.#calls.set(key, call);
      events.push({ type: "tool_call", index: call.index, id: id ?? `call_${this.#callCount}`, name });
    }
    const said = called?.arguments ?? "";
    const text = typeof said === "string" ? said : JSON.stringify(said);
    if (text !== "") events.push({ type: "tool_arguments", index: call.index, text });
    return events;
  }

  #wrote(): void {
    this.#pieces += 1;
    this.#lastAt = this.#now();
    this.#firstAt ??= this.#lastAt;
  }
}

/**
 * Some servers give calls in one piece each, all of them as number 0 or without a number. Others repeat the name with every
 * piece, or make up an id for each, but not both.
 */
function beginsAnother(
  call: { readonly id: string | null },
  id: string | null | undefined,
  name: string,
): boolean {
  return name !== "" && id != null && id !== "" && id !== call.id;
}

function parseChunk(data: string): Chunk {
  try {
    return chunkSchema.parse(JSON.parse(data));
  } catch (cause) {
    throw new EngineError("fault", "server_failed", "the model server's answer makes no sense", { cause });
  }
}
