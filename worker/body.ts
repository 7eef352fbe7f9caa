import { isTooDeep } from "../protocol/json-depth.ts";
import { MAX_JSON_DEPTH, MAX_REQUEST_BODY_BYTES } from "../protocol/limits.ts";
import { HttpError } from "./http-error.ts";

/**
 * Reads a JSON body and gives both the text, which goes on untouched, and its value. The limit holds while reading:
 * a body without a length, or with a wrong one, is cut off as soon as it is too large.
 * @param whenEmpty what an empty body means; without it there must be one
 * @throws HttpError `request_too_large` or `invalid_request`
 */
export async function readJsonBody(
  request: Request,
  whenEmpty?: unknown,
): Promise<{ text: string; json: unknown }> {
  const text = await readText(request);
  if (text.trim() === "") {
    if (whenEmpty !== undefined) return { text, json: whenEmpty };
    throw new HttpError({ code: "invalid_request", message: "the body is empty; send JSON" });
  }
  const json = parseJson(text);
  checkDepth(json);
  return { text, json };
}

/** @throws HttpError 400 for what would fail wherever it is written anew, at a machine in the worst case */
export function checkDepth(json: unknown): void {
  if (!isTooDeep(json)) return;
  throw new HttpError({
    code: "invalid_request",
    message: `lists and objects are nested more than ${MAX_JSON_DEPTH} levels deep`,
  });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const why = error instanceof SyntaxError ? error.message : "not JSON";
    throw new HttpError({
      code: "invalid_request",
      message: `the body is not valid JSON: ${why.slice(0, 200)}`,
    });
  }
}

async function readText(request: Request): Promise<string> {
  const length = request.headers.get("content-length");
  if (length !== null && Number(length) > MAX_REQUEST_BODY_BYTES) throw tooLarge();
  // The platform never hands over more bytes than the length it was told, so then there is nothing to count.
  if (length !== null || request.body === null) return request.text();
  const decoder = new TextDecoder();
  let bytes = 0;
  let text = "";
  for await (const chunk of request.body) {
    const piece: unknown = chunk;
    if (!(piece instanceof Uint8Array)) continue;
    bytes += piece.byteLength;
    if (bytes > MAX_REQUEST_BODY_BYTES) throw tooLarge();
    text += decoder.decode(piece, { stream: true });
  }
  return text + decoder.decode();
}

function tooLarge(): HttpError {
  const limit = MAX_REQUEST_BODY_BYTES / (1024 * 1024);
  return new HttpError({ code: "request_too_large", message: `the body is larger than ${limit} MiB` });
}
