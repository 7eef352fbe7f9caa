import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** The least server that keeps every rule of `npm run conformance`, so that a test can break a single one. */

export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly key: string;
  /** Null for what is no JSON. */
  readonly body: Readonly<Record<string, unknown>> | null;
}

export interface Reply {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** JSON, or the data of the events of a stream. */
  readonly body: object | readonly (object | string)[];
}

/** How one server differs; what it does not change it returns. */
export type Fault = (reply: Reply, asked: Asked) => Reply;

/** Runs `use` with the base URL of a server with this fault. */
export async function withSmallServer<T>(fault: Fault, use: (baseUrl: string) => Promise<T>): Promise<T> {
  const server = createServer((request, response) => void serve(request, response, fault));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    return await use(`http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`);
  } finally {
    server.closeAllConnections();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  }
}

async function serve(request: IncomingMessage, response: ServerResponse, fault: Fault): Promise<void> {
  let text = "";
  for await (const part of request.setEncoding("utf8")) text += String(part);
  const asked = {
    method: request.method ?? "",
    path: (request.url ?? "").replace(/^\/v1/, ""),
    key: (request.headers.authorization ?? "").replace("Bearer ", ""),
    body: jsonOf(text),
  };
  const { status, headers, body } = fault(replyTo(asked), asked);
  const isStream = Array.isArray(body);
  const type = isStream ? "text/event-stream" : "application/json";
  response.writeHead(status, { "content-type": type, "x-request-id": "r", ...headers });
  response.end(isStream ? body.map(eventOf).join("") : JSON.stringify(body));
}

function jsonOf(text: string): Asked["body"] {
  try {
    return JSON.parse(text) as Asked["body"];
  } catch {
    return null;
  }
}

function eventOf(data: object | string): string {
  if (typeof data === "string") return `data: ${data}\n\n`;
  const name = "sequence_number" in data && "type" in data ? `event: ${String(data.type)}\n` : "";
  return `${name}data: ${JSON.stringify(data)}\n\n`;
}

const refusal = (status: number, param: string | null = null): Reply => ({
  status,
  body: { error: { message: "no", type: "invalid_request_error", code: null, param } },
});

function replyTo({ method, path, key, body }: Asked): Reply {
  if (key !== "k") return refusal(401);
  const model = { id: "m", object: "model", created: 1, owned_by: "me" };
  if (path === "/models") return { status: 200, body: { object: "list", data: [model] } };
  if (path === "/models/m") return { status: 200, body: model };
  if (path !== "/chat/completions" && path !== "/responses") return refusal(404);
  if (method !== "POST") return refusal(405);
  if (body === null) return refusal(400);
  if (body["model"] !== "m") return refusal(404);
  return path === "/responses" ? respond(body) : chat(body);
}

type Body = NonNullable<Asked["body"]>;

function chat(body: Body): Reply {
  const { messages, max_tokens, max_completion_tokens, n, stream, tool_choice, response_format } = body;
  if (!Array.isArray(messages) || messages.some(({ role }) => role === "x")) return refusal(400);
  if (max_tokens === 0) return refusal(400, "max_tokens");
  if (n === 2) return refusal(400, "n");
  if (stream === true) return { status: 200, body: chunksOf(body) };
  const args = '{"whom":"Ada"}';
  const call = { id: "c", type: "function", function: { name: "greet", arguments: args } };
  const content = response_format === undefined ? "Hello" : args;
  const message =
    tool_choice === "required"
      ? { role: "assistant", content: null, tool_calls: [call] }
      : { role: "assistant", content };
  const isCut = max_tokens === 1 || max_completion_tokens === 1;
  const choices = [{ index: 0, message, finish_reason: isCut ? "length" : "stop" }];
  const usage = { prompt_tokens: 2, completion_tokens: 1, total_tokens: 3 };
  return { status: 200, body: { ...HEAD, object: "chat.completion", choices, usage } };
}

const HEAD = { id: "i", created: 1, model: "m" };

function chunksOf({ stream_options }: Body): (object | string)[] {
  const chunk = (choices: object[], more: object = {}) => ({
    ...HEAD,
    object: "chat.completion.chunk",
    choices,
    ...more,
  });
  const usage = { prompt_tokens: 2, completion_tokens: 1, total_tokens: 3 };
  return [
    chunk([{ index: 0, delta: { role: "assistant", content: "Hello" } }]),
    chunk([{ index: 0, delta: {}, finish_reason: "stop" }]),
    ...(stream_options === undefined ? [] : [chunk([], { usage })]),
    "[DONE]",
  ];
}

function respond({ stream }: Body): Reply {
  const response = {
    id: "r",
    object: "response",
    model: "m",
    status: "completed",
    output: [{ type: "message" }],
    usage: { input_tokens: 2, output_tokens: 1, total_tokens: 3 },
  };
  if (stream !== true) return { status: 200, body: response };
  const types = ["created", "content_part.added", "output_text.delta", "completed"];
  const events = types.map((type, index) => ({ type: `response.${type}`, sequence_number: index }));
  return { status: 200, body: events };
}
