import { expect } from "vitest";

import type { FakeProvider, Message } from "./fake-provider.ts";
import { fetchEdge, type Scene } from "./scene.ts";

/** A client of the Responses API's WebSocket, as far as tests need one, and machines that answer it. */

export const TOOLS = [{ type: "function", name: "look" }];
/** As a machine writes it. */
export const CALL = { index: 0, id: "call_1", function: { name: "look", arguments: "{}" } };

type ResponsesEvent = Record<string, unknown> & { type: string; response?: { id: string } };

const LAST = new Set(["response.completed", "response.incomplete", "response.failed", "error"]);

export class ResponsesClient {
  readonly closed: Promise<{ code: number; reason: string }>;
  readonly #socket: WebSocket;
  readonly #events: ResponsesEvent[] = [];
  #wake: () => void = () => undefined;

  constructor(socket: WebSocket) {
    this.#socket = socket;
    this.closed = new Promise((resolve) => {
      socket.addEventListener("close", ({ code, reason }) => resolve({ code, reason }));
    });
    socket.addEventListener("message", ({ data }) => {
      this.#events.push(JSON.parse(String(data)) as ResponsesEvent);
      this.#wake();
    });
    socket.accept();
  }

  create(fields: object): void {
    this.send(JSON.stringify({ type: "response.create", ...fields }));
  }

  send(frame: string | ArrayBuffer): void {
    this.#socket.send(frame);
  }

  async event(): Promise<ResponsesEvent> {
    for (;;) {
      const event = this.#events.shift();
      if (event !== undefined) return event;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** The events up to the last one of a turn. */
  async turn(): Promise<ResponsesEvent[]> {
    const events: ResponsesEvent[] = [];
    for (;;) {
      const event = await this.event();
      events.push(event);
      if (LAST.has(event.type)) return events;
    }
  }

  close(): void {
    this.#socket.close(1000, "test");
  }
}

export async function open(at: Scene): Promise<ResponsesClient> {
  const response = await fetchEdge("/v1/responses", {
    headers: { upgrade: "websocket", authorization: `Bearer ${at.apiKey}` },
  });
  if (response.webSocket === null) throw new Error(`refused: ${response.status}`);
  return new ResponsesClient(response.webSocket);
}

interface Answered {
  readonly id: string;
  readonly request: Message;
  readonly events: readonly ResponsesEvent[];
}

/** Asks, lets the machine say something, and expects that the turn comes to a good end. */
export async function answered(
  client: ResponsesClient,
  machine: FakeProvider,
  body: object,
  ...deltas: object[]
): Promise<Answered> {
  client.create(body);
  const request = await machine.next("inference_request");
  say(machine, request, ...(deltas.length === 0 ? [{ content: "ho" }] : deltas));
  const events = await client.turn();
  expect(events.at(-1)).toMatchObject({ type: "response.completed" });
  return { id: events.at(-1)?.response?.id ?? "", request, events };
}

/** What a machine sends for a piece of its answer. */
export const chunk = (delta: object): string =>
  `data: ${JSON.stringify({ choices: [{ delta, finish_reason: null }] })}\n\n`;

export function say(machine: FakeProvider, request: Message, ...deltas: object[]): void {
  machine.answer(request, `${deltas.map(chunk).join("")}data: [DONE]\n\n`);
}
