import { z } from "zod";

/** What both ends read of an embeddings request, with OpenAI's names. Everything else in it passes. */

/** As many as OpenAI takes. */
const MAX_INPUTS = 2048;

/** Ids are given by the model's own tokenizer, and clients that send them have used OpenAI's. */
const listedText = z
  .string("must be text; token ids are those of another tokenizer than the model's and are not supported")
  .min(1);

export const embeddingRequestSchema = z.looseObject({
  input: z.union([z.string().min(1), z.array(listedText).min(1).max(MAX_INPUTS)]),
  encoding_format: z.enum(["float", "base64"]).nullish(),
  /** Numbers in each vector. */
  dimensions: z.int().min(1).nullish(),
});
