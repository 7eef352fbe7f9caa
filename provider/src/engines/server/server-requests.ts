import { createParser } from "eventsource-parser";
import { z } from "zod";

import { embeddingRequestSchema } from "../../../../protocol/embedding-request.ts";
import { normalized, parseInputs } from "../../embeddings.ts";
import { type EmitAnswerEvent, EngineError, type EngineRequest, type RunResult } from "../../engine.ts";
import { parse } from "../../request-errors.ts";
import { settledOrAborted } from "../abortable.ts";
import { ChatReader } from "./chat-reader.ts";
import { brokeOff, type Endpoint, post } from "./endpoint.ts";

/** One request to a server and its answer, which ends early if the signal says so. */

type Body = EngineRequest["body"];

/** @throws EngineError */
export async function runChat(
  endpoint: Endpoint,
  model: string,
  body: Body,
  emit: EmitAnswerEvent,
  signal: AbortSignal,
): Promise<RunResult> {
  const asked = {
    ...body,
    ...answerLimit(body),
    model,
    stream: true,
    stream_options: { include_usage: true },
  };
  const reader = new ChatReader(JSON.stringify(body["messages"] ?? "").length, () => performance.now());
  try {
    const response = await post(endpoint, "/chat/completions", asked, signal);
    for await (const data of eventsOf(response)) {
      if (data === "[DONE]") break;
      for (const event of reader.read(data)) {
        const behind = emit(event);
        if (behind instanceof Promise) await settledOrAborted(behind, signal);
        if (signal.aborted) return reader.cancelled();
      }
    }
    return reader.result();
  } catch (error) {
    if (signal.aborted) return reader.cancelled();
    throw error;
  }
}

/** The newer name of the limit is not known everywhere. */
function answerLimit({ max_completion_tokens, max_tokens }: Body): object {
  const limit = max_completion_tokens ?? max_tokens;
  return limit === undefined ? {} : { max_tokens: limit };
}

/** Leaving the loop closes the connection, which tells the server to stop. */
async function* eventsOf({ body }: Response): AsyncGenerator<string> {
  if (body === null) return;
  const events: string[] = [];
  const parser = createParser({ onEvent: ({ data }) => events.push(data) });
  try {
    for await (const text of body.pipeThrough(new TextDecoderStream())) {
      parser.feed(text);
      yield* events.splice(0);
    }
  } catch (cause) {
    throw brokeOff(cause);
  }
  // Some servers leave out the empty line after the last event.
  parser.feed("\n\n");
  yield* events;
}

const vectorsSchema = z.object({
  data: z.array(z.object({ index: z.int().min(0), embedding: z.array(z.number()) })),
  usage: z.object({ prompt_tokens: z.number().min(0).transform(Math.round) }).nullish(),
});

/**
 * Servers answer with all vectors at once, as numbers: in which form they go on is the encoder's business.
 * @throws EngineError
 */
export async function runEmbeddings(
  endpoint: Endpoint,
  model: string,
  body: Body,
  emit: EmitAnswerEvent,
  signal: AbortSignal,
): Promise<RunResult> {
  parse(embeddingRequestSchema, body);
  const startedAt = performance.now();
  let promptTokens = 0;
  const result = (finishReason: "stop" | "cancelled"): RunResult => ({
    finishReason,
    usage: { promptTokens, completionTokens: 0, cachedTokens: 0 },
    prefillMs: performance.now() - startedAt,
    decodeMs: 0,
  });
  try {
    const response = await post(
      endpoint,
      "/embeddings",
      { ...body, model, encoding_format: "float" },
      signal,
    );
    const { data, usage } = parseVectors(await textOf(response));
    // How long its vectors are shows only now: whether as was asked, and whether all of them fit into an answer.
    const inputs = parseInputs(body, data[0]?.embedding.length ?? 0);
    if (data.length !== inputs.length) throw nonsense();
    promptTokens = usage?.prompt_tokens ?? 0;
    for (const { index, embedding } of data.toSorted((a, b) => a.index - b.index)) {
      const vector = normalized(embedding);
      if (vector === null) throw new EngineError("fault", "server_failed", "the model server made no vector");
      const behind = emit({ type: "embedding", index, vector });
      if (behind instanceof Promise) await settledOrAborted(behind, signal);
      if (signal.aborted) return result("cancelled");
    }
    return result("stop");
  } catch (error) {
    if (signal.aborted) return result("cancelled");
    throw error;
  }
}

async function textOf(response: Response): Promise<string> {
  try {
    return await response.text();
  } catch (cause) {
    throw brokeOff(cause);
  }
}

function parseVectors(text: string): z.infer<typeof vectorsSchema> {
  try {
    return vectorsSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw nonsense(cause);
  }
}

function nonsense(cause?: unknown): EngineError {
  return new EngineError("fault", "server_failed", "the model server's vectors make no sense", { cause });
}
