import { Hono } from "hono";
import { z } from "zod";

import { embeddingRequestSchema } from "../../protocol/embedding-request.ts";
import { EMBEDDINGS_ENDPOINT } from "../../protocol/endpoints.ts";
import { askPool } from "../ask-pool.ts";
import { requireApiKey } from "../auth.ts";
import { readJsonBody } from "../body.ts";
import type { AppEnv } from "../context.ts";
import { validate } from "../validate.ts";

const requestSchema = embeddingRequestSchema.extend({ model: z.string().min(1) });

/** No tokenizer makes more than one of a byte. What stands around each text has room for those that a model adds to it. */
const TOKENS_PER_CHAR = 3;

/** `POST /v1/embeddings`: like a chat, checked here once and then the client's text goes to the pool as it is. */
export const embeddings = new Hono<AppEnv>().post("/", requireApiKey, async (context) => {
  const { text, json } = await readJsonBody(context.req.raw);
  const { model, input } = validate(requestSchema, json);
  return askPool(context, {
    endpoint: EMBEDDINGS_ENDPOINT,
    model,
    text,
    prefix: [],
    cacheKeys: [],
    stream: false,
    answerTokens: 0,
    mostTokens: (contextLength) => {
      const texts = typeof input === "string" ? 1 : input.length;
      return Math.min(texts * contextLength, TOKENS_PER_CHAR * text.length);
    },
  });
});
