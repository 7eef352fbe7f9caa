import { z } from "zod";

/** The fields of an embeddings request that both ends read, with OpenAI's names. All others are passed through. */

/** OpenAI's limit. */
const MAX_INPUTS = 2048;

/** Token ids would come from OpenAI's tokenizer. */
const NO_TOKEN_IDS =
  "must be text; token ids are those of another tokenizer than the model's and are not supported";

const listedText = z
  .string({ error: ({ code }) => (code === "invalid_type" ? NO_TOKEN_IDS : undefined) })
  .min(1);

export const embeddingRequestSchema = z.looseObject({
  input: z
    .union([z.string().min(1), z.array(listedText).min(1)])
    // Checked outside the union, which would say of a long list that it must be text.
    .refine((input) => typeof input === "string" || input.length <= MAX_INPUTS, {
      error: `must have at most ${MAX_INPUTS} entries`,
    }),
  encoding_format: z.enum(["float", "base64"]).nullish(),
  /** Numbers in each vector. */
  dimensions: z.int().min(1).nullish(),
});
