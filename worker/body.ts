import { MAX_JSON_VALUES } from "../core/limits.ts";
import { isTooDeep } from "../protocol/json-depth.ts";
import { MAX_JSON_DEPTH, MAX_REQUEST_BODY_BYTES } from "../protocol/limits.ts";
import { utf8Length } from "../protocol/utf8-length.ts";
import { bodyRoom } from "./body-room.ts";
import { HttpError } from "./http-error.ts";
import { hasMoreValuesThan } from "./json-values.ts";

/**
 * Reads a JSON body and returns its text, which is passed on unchanged, and its value. The size limit is enforced while
 * reading, so a missing or wrong content-length does not get around it.
 * @param whenEmpty what an empty body means; without it there must be one
 * @throws HttpError `request_too_large`, `invalid_request`, or `queue_full` while too much is held here
 */
export async function readJsonBody(
  request: Request,
  whenEmpty?: unknown,
): Promise<{ text: string; json: unknown }> {
  const text = await readText(request).catch((error: unknown) => {
    if (error instanceof NotUtf8) throw invalid(whyNotUtf8(request.headers.get("content-encoding")));
    if (error instanceof HttpError) throw error;
    // The client disconnected, or its body does not match its headers: not our fault.
    throw new HttpError({ code: "invalid_request", message: "the body broke off before its end" });
  });
  if (text.trim() === "") {
    if (whenEmpty !== undefined) return { text, json: whenEmpty };
    throw new HttpError({ code: "invalid_request", message: "the body is empty; send JSON" });
  }
  return { text, json: parseJson(text, "the body") };
}

/**
 * Parses JSON within limits of size and depth, beyond which validating or serializing it would fail later, in the worst case
 * on a machine.
 * @param name of the text in error messages.
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
  // The platform never delivers more bytes than the content-length, so there is nothing to count.
  if (length !== null || request.body === null) {
    bodyRoom.take(request, Number(length));
    return decode(WHOLE, await request.arrayBuffer());
  }
  const decoder = newDecoder();
  let bytes = 0;
  let text = "";
  for await (const chunk of request.body) {
    const piece: unknown = chunk;
    if (!(piece instanceof Uint8Array)) continue;
    bytes += piece.byteLength;
    if (bytes > MAX_REQUEST_BODY_BYTES) throw tooLarge();
    bodyRoom.take(request, piece.byteLength);
    text += decode(decoder, piece, { stream: true });
  }
  return text + decode(decoder);
}

function newDecoder(): TextDecoder {
  return new TextDecoder("utf-8", { fatal: true, ignoreBOM: false });
}

/** For complete texts: without `stream` it keeps no state between calls. */
const WHOLE = newDecoder();

class NotUtf8 extends Error {}

function whyNotUtf8(encoding: string | null): string {
  const isEncoded = encoding !== null && encoding !== "identity";
  return isEncoded
    ? `the body is encoded (${encoding.slice(0, 100)}); send it as it is`
    : "the body is not UTF-8";
}

/** Invalid UTF-8 is refused: each invalid byte would become a 3-byte character, tripling the size that was checked. */
function decode(
  decoder: TextDecoder,
  bytes?: Uint8Array | ArrayBuffer,
  options?: TextDecoderDecodeOptions,
): string {
  try {
    return decoder.decode(bytes, options);
  } catch {
    throw new NotUtf8();
  }
}

/**
 * Checks the size of a chat that was translated from another request, because it may have grown beyond what machines accept.
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
