import { z } from "zod";

import type { InferenceRequest } from "../../../protocol/downstream.ts";
import { EMBEDDINGS_ENDPOINT } from "../../../protocol/endpoints.ts";
import type { AnswerEncoder } from "../agent/ports.ts";
import { createCompletionEncoder } from "./completion-encoder.ts";
import { createEmbeddingsEncoder } from "./embeddings-encoder.ts";
import { createStreamEncoder } from "./stream-encoder.ts";
import type { AnswerHead } from "./usage.ts";

const formFieldsSchema = z.object({
  model: z.string().optional().catch(undefined),
  stream: z.boolean().nullish().catch(null),
  stream_options: z.object({ include_usage: z.boolean().nullish() }).nullish().catch(null),
  encoding_format: z.enum(["float", "base64"]).nullish().catch(null),
});

/**
 * The encoder for what the client asked for: a stream, one body, or vectors. Its id comes from the request, so that an attempt
 * on another machine answers under the same one.
 * @param now milliseconds since the Unix epoch.
 */
export function createAnswerEncoder(request: InferenceRequest, now: number): AnswerEncoder {
  const { model, stream, stream_options, encoding_format } = formFieldsSchema.parse(request.body);
  if (request.endpoint === EMBEDDINGS_ENDPOINT) {
    return createEmbeddingsEncoder(model ?? request.model_id, encoding_format ?? "float");
  }
  const head: AnswerHead = {
    id: `chatcmpl-${request.request_id}`,
    created: Math.floor(now / 1000),
    model: model ?? request.model_id,
  };
  if (stream !== true) return createCompletionEncoder(head);
  return createStreamEncoder(head, { includeUsage: stream_options?.include_usage ?? false });
}
