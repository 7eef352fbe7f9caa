import { z } from "zod";

import { asEngineError, EngineError } from "../../engine.ts";

/** What servers say when they refuse, in OpenAI's envelope as a rule. Codes are words, or HTTP statuses as in llama-server. */
const errorSchema = z.object({
  message: z.string().catch(""),
  type: z.string().nullish().catch(null),
  code: z.union([z.string(), z.number()]).nullish().catch(null),
});
const envelopeSchema = z.object({ error: z.union([errorSchema, z.string()]) });

const CONTEXT = /context.?(length|size|window)/i;

/** The refusal as an engine's error. */
export async function refusalOf(response: Response): Promise<EngineError> {
  const text = await response.text().catch(() => "");
  return toEngineError(response.status, parseEnvelope(text));
}

/**
 * Why a load has failed. What the server said of it is for this machine's log: it may name files, and the coordinator is told
 * the error.
 */
export function failureToLoad(error: unknown, log: (line: string) => void): EngineError {
  const failure = asEngineError(error, "load_failed");
  if (typeof failure.cause === "string") log(`model server: ${failure.cause}`);
  if (failure.class !== "client") return failure;
  const message = "the model server refuses to load the model; this machine's log says why";
  return new EngineError("fault", "load_failed", message, { cause: failure });
}

/** An error that came in the middle of a stream. Its status may be its code. */
export function brokenStream(error: unknown): EngineError {
  const said = errorSchema.safeParse(error).data ?? null;
  const status = typeof said?.code === "number" ? said.code : 500;
  return toEngineError(status, said);
}

type Said = z.infer<typeof errorSchema> | null;

/**
 * Only what is about the request itself goes on in the server's words, to the client who sent it. Other messages might quote
 * a prompt. Of a load they do not, so they are kept as the cause.
 */
function toEngineError(status: number, said: Said): EngineError {
  const message = said?.message ?? "";
  const inItsWords = message === "" ? {} : { cause: message };
  switch (status) {
    case 400:
    case 413:
    case 422:
    case 501:
      return new EngineError("client", clientCode(status, said), clientMessage(message), inItsWords);
    case 401:
    case 403:
      return wrongKey();
    case 404:
      return new EngineError("fault", "model_missing", "the model server does not know the model");
    case 429:
    case 503:
      return new EngineError("capacity", "no_free_slot", "the model server has no room");
    default:
      return new EngineError(
        "fault",
        "server_failed",
        `the model server failed with status ${status}`,
        inItsWords,
      );
  }
}

/** It takes connections and answers nothing. */
export function hangs(): EngineError {
  return new EngineError("fault", "engine_hangs", "the model server does not answer");
}

export function wrongKey(): EngineError {
  const message = "the model server wants another key: set POOLKEEPER_SERVER_KEY";
  return new EngineError("fault", "server_refused", message);
}

function clientCode(status: number, said: Said): string {
  const { code, type, message } = said ?? { code: null, type: null, message: "" };
  if ([code, type, message].some((word) => typeof word === "string" && CONTEXT.test(word.replace(/_/g, " "))))
    return "context_length_exceeded";
  return status === 501 || code === "unsupported" ? "unsupported" : "invalid_request";
}

function clientMessage(message: string): string {
  return message === "" ? "the model server refuses the request and does not say why" : message;
}

function parseEnvelope(text: string): Said {
  try {
    const { error } = envelopeSchema.parse(JSON.parse(text));
    return typeof error === "string" ? { message: error } : error;
  } catch {
    return null;
  }
}
