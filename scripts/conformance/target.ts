import type { z } from "zod";

/** The server under test, and how it is asked: with nothing but `fetch`, so that no client library mends what is wrong. */

export interface Target {
  /** With `/v1` or whatever stands there, and without a slash at its end. */
  readonly baseUrl: string;
  readonly key: string;
  readonly model: string;
}

/** A rule that the server does not keep; its message says how. */
export class Breach extends Error {
  override readonly name = "Breach";
}

/** @throws Breach */
export function expectThat(isTrue: boolean, otherwise: string): asserts isTrue {
  if (!isTrue) throw new Breach(otherwise);
}

/** @throws Breach that names the first field which is not as it must be. */
export function expectShape<T>(schema: z.ZodType<T>, value: unknown, what: string): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const path = issue?.path.join(".") ?? "";
  throw new Breach(`${what}: ${path === "" ? "" : `${path}: `}${issue?.message ?? "is not as it must be"}`);
}

const TIMEOUT_MS = 120_000;

export interface Ask {
  readonly method?: string;
  /** JSON, or a text that is sent as it is. */
  readonly body?: object | string;
  readonly key?: string;
  readonly signal?: AbortSignal;
}

/** @param path such as `/chat/completions` */
export function send(target: Target, path: string, ask: Ask = {}): Promise<Response> {
  const { body, method = body === undefined ? "GET" : "POST", key = target.key, signal } = ask;
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  return fetch(target.baseUrl + path, {
    method,
    headers: { Authorization: `Bearer ${key}`, "Content-Type": "application/json" },
    body: body === undefined ? null : typeof body === "string" ? body : JSON.stringify(body),
    signal: signal === undefined ? timeout : AbortSignal.any([signal, timeout]),
  });
}

/** A chat that is answered, as JSON. @throws Breach */
export async function chat(target: Target, fields: object): Promise<unknown> {
  const response = await send(target, "/chat/completions", { body: { model: target.model, ...fields } });
  return jsonOf(response, 200);
}

/** @throws Breach for another status, or a body that is no JSON. */
export async function jsonOf(response: Response, status: number): Promise<unknown> {
  const text = await response.text();
  expectThat(response.status === status, `status ${response.status} instead of ${status}: ${excerpt(text)}`);
  try {
    return JSON.parse(text);
  } catch {
    throw new Breach(`the body is not JSON: ${excerpt(text)}`);
  }
}

export interface ServerEvent {
  /** Of the line `event:`; empty if there is none. */
  readonly name: string;
  readonly data: string;
}

/** The events of a stream that came to its end. Comments are left out. @throws Breach */
export async function eventsOf(response: Response): Promise<ServerEvent[]> {
  const text = await response.text();
  expectThat(response.status === 200, `status ${response.status} instead of 200: ${excerpt(text)}`);
  const type = response.headers.get("content-type") ?? "none";
  expectThat(type.startsWith("text/event-stream"), `the content-type is ${type} and not text/event-stream`);
  return text
    .replaceAll("\r\n", "\n")
    .split("\n\n")
    .map(eventIn)
    .filter(({ data }) => data !== "");
}

function eventIn(block: string): ServerEvent {
  const lines = block.split("\n");
  const fieldsOf = (name: string): string[] =>
    lines
      .filter((line) => line.startsWith(`${name}:`))
      .map((line) => line.slice(name.length + 1).trimStart());
  return { name: fieldsOf("event").join(""), data: fieldsOf("data").join("\n") };
}

/** @throws Breach */
export function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Breach(`not JSON: ${excerpt(text)}`);
  }
}

function excerpt(text: string): string {
  return text.length > 200 ? `${text.slice(0, 200)}...` : text;
}
