import { z } from "zod";

/** What both ends read of an embeddings request, with OpenAI's names. Everything else in it passes. */

/** As many as OpenAI takes. */
const MAX_INPUTS = 2048;

/** Clients that send ids have used OpenAI's tokenizer. */
const NO_TOKEN_IDS =
  "must be text; token ids are those of another tokenizer than the model's and are not supported";

const listedText = z
  .string({ error: ({ code }) => (code === "invalid_type" ? NO_TOKEN_IDS : undefined) })
  .min(1);

export const embeddingRequestSchema = z.looseObject({
  input: z
    .union([z.string().min(1), z.array(listedText).min(1)])
    // Said of the whole: of a list that is too long, the union would say that it must be text.
    .refine((input) => typeof input === "string" || input.length <= MAX_INPUTS, {
      error: `must have at most ${MAX_INPUTS} entries`,
    }),
  encoding_format: z.enum(["float", "base64"]).nullish(),
  /** Numbers in each vector. */
  dimensions: z.int().min(1).nullish(),
});
