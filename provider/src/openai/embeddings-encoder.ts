import type { AnswerEncoder } from "../agent/ports.ts";

export type VectorForm = "float" | "base64";

/** The vectors of some texts as one `list`, of which each entry goes out as soon as it is there. */
export function createEmbeddingsEncoder(model: string, form: VectorForm): AnswerEncoder {
  const utf8 = new TextEncoder();
  let start = '{"object":"list","data":[';
  return {
    encode(event) {
      if (event.type !== "embedding") throw new Error(`vectors were asked for, not ${event.type}`);
      const { index, vector } = event;
      const entry = `${start}{"object":"embedding","index":${index},"embedding":${encodeVector(vector, form)}}`;
      start = ",";
      return utf8.encode(entry);
    },
    finish({ usage: { promptTokens } }) {
      const usage = { prompt_tokens: promptTokens, total_tokens: promptTokens };
      return utf8.encode(`],"model":${JSON.stringify(model)},"usage":${JSON.stringify(usage)}}`);
    },
  };
}

/** Digits that tell any two numbers of 32 bits apart. */
const DIGITS = 9;

function encodeVector(vector: Float32Array, form: VectorForm): string {
  if (form === "float")
    return `[${Array.from(vector, (value) => Number(value.toPrecision(DIGITS))).join(",")}]`;
  // Little-endian, as every machine that this runs on.
  return `"${Buffer.from(vector.buffer, vector.byteOffset, vector.byteLength).toString("base64")}"`;
}
