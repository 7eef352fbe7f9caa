import { embeddingRequestSchema } from "../../protocol/embedding-request.ts";
import { MAX_ANSWER_BYTES } from "../../protocol/limits.ts";
import { invalidRequest, parse, unsupported } from "./request-errors.ts";

/** Reads an embeddings request for engines: validates it and returns its texts. */

export interface EmbeddingInput {
  readonly text: string;
  /** Name of the field for error messages: `input`, or `input[3]` in a list. */
  readonly name: string;
}

/** Most bytes of one vector component in an answer. */
const BYTES_PER_NUMBER = { float: 18, base64: 5.4 } as const;
/** Bytes around each vector in an answer. */
const BYTES_PER_VECTOR = 80;

/**
 * The texts to embed.
 * @param dimensions components of the model's vectors.
 * @throws EngineError `invalid_request` or `unsupported`, naming the field.
 */
export function parseInputs(body: Readonly<Record<string, unknown>>, dimensions: number): EmbeddingInput[] {
  const fields = parse(embeddingRequestSchema, body);
  // Vectors can be shortened only if the model was trained for that, and model files do not say so.
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

/** The vector scaled to length 1; null if it is zero or not finite. */
export function normalized(vector: readonly number[]): Float32Array<ArrayBuffer> | null {
  let squares = 0;
  for (const value of vector) squares += value * value;
  const length = Math.sqrt(squares);
  return length > 0 && Number.isFinite(length) ? Float32Array.from(vector, (value) => value / length) : null;
}
