import { MAX_JSON_VALUES } from "../core/limits.ts";
import { isTooDeep } from "../protocol/json-depth.ts";
import { MAX_JSON_DEPTH, MAX_REQUEST_BODY_BYTES } from "../protocol/limits.ts";
import { utf8Length } from "../protocol/utf8-length.ts";
import { HttpError } from "./http-error.ts";
import { hasMoreValuesThan } from "./json-values.ts";

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
  const text = await readText(request).catch((error: unknown) => {
    if (error instanceof HttpError) throw error;
    // The sender has gone, or sends no such body as it said: nobody here is at fault.
    throw new HttpError({ code: "invalid_request", message: "the body broke off before its end" });
  });
  if (text.trim() === "") {
    if (whenEmpty !== undefined) return { text, json: whenEmpty };
    throw new HttpError({ code: "invalid_request", message: "the body is empty; send JSON" });
  }
  return { text, json: parseJson(text, "the body") };
}

/**
 * The value of JSON that is not so large, or so deep, that it would fail wherever it is checked or written anew: at a machine in
 * the worst case.
 * @param name of the text, for its sender.
 * @throws HttpError 400
 */
export function parseJson(text: string, name: string): unknown {
  if (hasMoreValuesThan(MAX_JSON_VALUES, text)) {
    throw invalid(`lists and objects hold more than ${MAX_JSON_VALUES} values together`);
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    const why = error instanceof SyntaxError ? error.message : "not JSON";
    throw invalid(`${name} is not valid JSON: ${why.slice(0, 200)}`);
  }
  if (isTooDeep(json)) throw invalid(`lists and objects are nested more than ${MAX_JSON_DEPTH} levels deep`);
  return json;
}

function invalid(message: string): HttpError {
  return new HttpError({ code: "invalid_request", message });
}

async function readText(request: Request): Promise<string> {
  const length = request.headers.get("content-length");
  if (length !== null && Number(length) > MAX_REQUEST_BODY_BYTES) throw tooLarge();
  // The platform never hands over more bytes than the length it was told, so then there is nothing to count.
  if (length !== null || request.body === null) return decode(WHOLE, await request.arrayBuffer());
  const decoder = newDecoder();
  let bytes = 0;
  let text = "";
  for await (const chunk of request.body) {
    const piece: unknown = chunk;
    if (!(piece instanceof Uint8Array)) continue;
    bytes += piece.byteLength;
    if (bytes > MAX_REQUEST_BODY_BYTES) throw tooLarge();
    text += decode(decoder, piece, { stream: true });
  }
  return text + decode(decoder);
}

function newDecoder(): TextDecoder {
  return new TextDecoder("utf-8", { fatal: true, ignoreBOM: false });
}

/** For texts that are there as a whole: it begins anew with each. */
const WHOLE = newDecoder();

/** A byte that belongs to no character would become one of three bytes, and the text three times as long as was counted. */
function decode(
  decoder: TextDecoder,
  bytes?: Uint8Array | ArrayBuffer,
  options?: TextDecoderDecodeOptions,
): string {
  try {
    return decoder.decode(bytes, options);
  } catch {
    throw invalid("the body is not UTF-8");
  }
}

/**
 * For a chat that was made of another request, which may have become longer by that: no machine takes a larger frame.
 * @throws HttpError `request_too_large`
 */
export function requireSendable(text: string): void {
  // A UTF-16 unit is at most three bytes of UTF-8, so only long texts need to be measured.
  if (text.length * 3 > MAX_REQUEST_BODY_BYTES && utf8Length(text) > MAX_REQUEST_BODY_BYTES)
    throw tooLarge("the chat that it becomes");
}

function tooLarge(what = "the body"): HttpError {
  const limit = MAX_REQUEST_BODY_BYTES / (1024 * 1024);
  return new HttpError({ code: "request_too_large", message: `${what} is larger than ${limit} MiB` });
}
