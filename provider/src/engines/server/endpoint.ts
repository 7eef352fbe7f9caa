import http from "node:http";
import https from "node:https";
import { Readable } from "node:stream";

import { EngineError } from "../../engine.ts";
import { networkReason } from "../../reason.ts";
import { refusalOf } from "./server-errors.ts";
import type { ServerStatus } from "./server-watch.ts";

/** An OpenAI-compatible server: its base URL, which ends in `/v1` as a rule, and the key that it wants. */
export interface Endpoint {
  /** Without a slash at its end. */
  readonly baseUrl: string;
  readonly apiKey: string | null;
}

/**
 * Sends JSON and returns the response once it is a good one.
 * @throws EngineError for what the server refuses, or `UNREACHABLE` if it does not answer; or the signal's reason.
 */
export async function post(
  endpoint: Endpoint,
  path: string,
  body: object,
  signal: AbortSignal,
): Promise<Response> {
  const response = await request(endpoint, path, signal, JSON.stringify(body));
  if (!response.ok) throw await refusalOf(response);
  return response;
}

/** The server's answer to a GET, whatever its status. @throws as `post` */
export function get(endpoint: Endpoint, path: string, signal: AbortSignal): Promise<Response> {
  return request(endpoint, path, signal, null);
}

/**
 * The status of the server's answer to a GET. `gone`: nobody takes the connection; `silent`: whoever does has not answered
 * within `limitMs`.
 * @throws the signal's reason
 */
export async function statusOf(
  endpoint: Endpoint,
  path: string,
  limitMs: number,
  signal: AbortSignal | null,
): Promise<ServerStatus> {
  const limit = AbortSignal.timeout(limitMs);
  try {
    const response = await get(endpoint, path, signal === null ? limit : AbortSignal.any([signal, limit]));
    await response.body?.cancel();
    return response.status;
  } catch (error) {
    signal?.throwIfAborted();
    if (limit.aborted) return "silent";
    if (error instanceof EngineError) return "gone";
    throw error;
  }
}

/** The code of an error that says that no server is there, or that it broke off. */
export const UNREACHABLE = "server_unreachable";

/** @param cause what the network said before there was an answer. */
function unreachable(cause: unknown): EngineError {
  const message = `the model server does not answer: ${networkReason(cause)}`;
  return new EngineError("fault", UNREACHABLE, message, { cause });
}

/** @param cause what the network said in the middle of an answer. */
export function brokeOff(cause: unknown): EngineError {
  const message = `the model server broke off: ${networkReason(cause)}`;
  return new EngineError("fault", UNREACHABLE, message, { cause });
}

/** @param body JSON to be sent; null for a GET. */
async function request(
  { baseUrl, apiKey }: Endpoint,
  path: string,
  signal: AbortSignal,
  body: string | null,
): Promise<Response> {
  const headers: Record<string, string> = {};
  if (body !== null) headers["content-type"] = "application/json";
  if (apiKey !== null) headers["authorization"] = `Bearer ${apiKey}`;
  try {
    return await send(new URL(`${baseUrl}${path}`), headers, body, signal);
  } catch (cause) {
    signal.throwIfAborted();
    throw unreachable(cause);
  }
}

/**
 * Not by `fetch`, which gives up when nothing comes for five minutes: a long prompt, or a large model from a slow disk, takes
 * longer. Each request has a connection of its own: of one that was kept, nobody knows whether the server has just closed it.
 */
async function send(
  url: URL,
  headers: Readonly<Record<string, string>>,
  body: string | null,
  signal: AbortSignal,
): Promise<Response> {
  const begin = url.protocol === "https:" ? https.request : http.request;
  const method = body === null ? "GET" : "POST";
  const answer = await new Promise<http.IncomingMessage>((resolve, reject) => {
    begin(url, { method, headers, signal, agent: false }, resolve).on("error", reject).end(body);
  });
  return toResponse(answer);
}

function toResponse(answer: http.IncomingMessage): Response {
  const { statusCode = 0 } = answer;
  const hasBody = statusCode !== 204 && statusCode !== 205 && statusCode !== 304;
  if (!hasBody) answer.resume();
  return new Response(hasBody ? Readable.toWeb(answer) : null, { status: statusCode });
}

/** The same server's address for what is not part of OpenAI's API. */
export function rootOf({ baseUrl, apiKey }: Endpoint): Endpoint {
  return { baseUrl: baseUrl.replace(/\/v1$/, ""), apiKey };
}
