import { embeddingRequestSchema } from "../../protocol/embedding-request.ts";
import { MAX_ANSWER_BYTES } from "../../protocol/limits.ts";
import { invalidRequest, parse, unsupported } from "./request-errors.ts";

/** An embeddings request as engines read it: the texts, and in which form their vectors are to come. */

export interface EmbeddingInput {
  readonly text: string;
  /** Of the field, for errors: `input`, or `input[3]` of a list. */
  readonly name: string;
}

/** Most bytes that one number of a vector takes in an answer. */
const BYTES_PER_NUMBER = { float: 18, base64: 5.4 } as const;
/** What stands around a vector. */
const BYTES_PER_VECTOR = 80;

/**
 * The texts to be made vectors.
 * @param dimensions numbers in each vector of the model.
 * @throws EngineError `invalid_request` or `unsupported`, naming the field.
 */
export function parseInputs(body: Readonly<Record<string, unknown>>, dimensions: number): EmbeddingInput[] {
  const fields = parse(embeddingRequestSchema, body);
  // A model that was not trained for it loses its meaning with the end of its vectors, and no file says whether it was.
  if ((fields.dimensions ?? dimensions) !== dimensions) {
    throw unsupported(`dimensions: vectors of this model have ${dimensions} numbers and are not cut`);
  }
  const inputs =
    typeof fields.input === "string"
      ? [{ text: fields.input, name: "input" }]
      : fields.input.map((text, index) => ({ text, name: `input[${index}]` }));
  const bytesPerVector = BYTES_PER_VECTOR + dimensions * BYTES_PER_NUMBER[fields.encoding_format ?? "float"];
  if (inputs.length * bytesPerVector > MAX_ANSWER_BYTES) {
    const most = Math.floor(MAX_ANSWER_BYTES / bytesPerVector);
    throw invalidRequest(`input: at most ${most} vectors of this model and form fit into an answer`);
  }
  return inputs;
}

/** The vector with length 1; null if it has none, or is not made of numbers. */
export function normalized(vector: readonly number[]): Float32Array<ArrayBuffer> | null {
  let squares = 0;
  for (const value of vector) squares += value * value;
  const length = Math.sqrt(squares);
  return length > 0 && Number.isFinite(length) ? Float32Array.from(vector, (value) => value / length) : null;
}
