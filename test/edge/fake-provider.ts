import { env, exports } from "cloudflare:workers";

import type { Env } from "../../durable-objects/env.ts";
import { encodeRecords } from "../../protocol/records.ts";

/** A provider under the test's full control: it says exactly what it is told to, right or wrong. */

export const testEnv = env as unknown as Env;
export const ADMIN = "admin-token-of-the-tests";

const worker = exports as unknown as { default: { fetch(request: Request): Promise<Response> } };

/** A request to the Worker as it would come over the network. */
export function fetchEdge(path: string, init: RequestInit = {}): Promise<Response> {
  return worker.default.fetch(new Request(`http://edge${path}`, init));
}

export async function adminCall<T>(method: string, path: string, body?: unknown): Promise<T> {
  const response = await fetchEdge(`/v1/admin${path}`, {
    method,
    headers: { authorization: `Bearer ${ADMIN}` },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
  return response.json<T>();
}

export function catalogEntry(id: string, fields: object = {}): object {
  return { id, context_length: 4096, size_gb: 1, min_ram_gb: 2, ...fields };
}

let count = 0;

/** A name nobody else in this file has used, since storage lasts from test to test. */
export function unique(prefix: string): string {
  return `${prefix}-${++count}-${crypto.randomUUID().slice(0, 6)}`;
}

export interface Scene {
  readonly model: string;
  readonly apiKey: string;
  readonly token: string;
  readonly tokenId: string;
}

/** A fresh model in the catalog, an API key and a provider token. */
export async function scene(fields: object = {}): Promise<Scene> {
  const model = unique("model");
  const entries = await adminCall<object[]>("GET", "/catalog");
  await adminCall("PUT", "/catalog", [...entries, catalogEntry(model, fields)]);
  const { key } = await adminCall<{ key: string }>("POST", "/keys", { owner: "acme", name: "test" });
  const { id, token } = await adminCall<{ id: string; token: string }>("POST", "/provider-tokens", {
    owner: "acme",
    name: "test",
  });
  return { model, apiKey: key, token, tokenId: id };
}

export function chat(at: Scene, body: object = {}, init: RequestInit = {}): Promise<Response> {
  return fetchEdge("/v1/chat/completions", {
    method: "POST",
    headers: { authorization: `Bearer ${at.apiKey}` },
    body: JSON.stringify({ model: at.model, messages: [{ role: "user", content: "Hello" }], ...body }),
    ...init,
  });
}

type Message = Record<string, unknown> & { type: string };

export class FakeProvider {
  readonly machineId: string;
  readonly #socket: WebSocket;
  readonly #received: Message[] = [];
  readonly #waiting: { matches: (message: Message) => boolean; resolve: (message: Message) => void }[] = [];
  readonly closed: Promise<{ code: number; reason: string }>;
  /** Settles with the first pong. */
  readonly ponged: Promise<void>;
  #onPong: () => void = () => undefined;

  constructor(machineId: string, socket: WebSocket) {
    this.machineId = machineId;
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    this.ponged = new Promise((resolve) => {
      this.#onPong = resolve;
    });
    this.closed = new Promise((resolve) => {
      socket.addEventListener("close", ({ code, reason }) => resolve({ code, reason }));
    });
    socket.addEventListener("message", ({ data }) => this.#onMessage(String(data)));
    socket.accept();
  }

  /** Messages that nobody has waited for yet. */
  get unread(): readonly Message[] {
    return this.#received;
  }

  /** The next message of a type, also one that has come already. */
  next(type: string): Promise<Message> {
    const matches = (message: Message): boolean => message.type === type;
    const index = this.#received.findIndex(matches);
    const [known] = index < 0 ? [] : this.#received.splice(index, 1);
    if (known !== undefined) return Promise.resolve(known);
    return new Promise((resolve) => this.#waiting.push({ matches, resolve }));
  }

  send(message: object): void {
    this.#socket.send(JSON.stringify(message));
  }

  sendText(text: string): void {
    this.#socket.send(text);
  }

  sendBinary(frame: Uint8Array<ArrayBuffer>): void {
    this.#socket.send(frame);
  }

  bytes(stream: unknown, ...texts: string[]): void {
    const chunks = texts.map((text) => new TextEncoder().encode(text));
    this.sendBinary(encodeRecords([{ stream: Number(stream), chunks }]));
  }

  accept(request: Message): void {
    const { request_id, stream } = request;
    this.send({ type: "inference_accepted", request_id, stream });
  }

  complete(request: Message): void {
    const { request_id, stream } = request;
    this.send({
      type: "inference_complete",
      request_id,
      stream,
      usage: { prompt_tokens: 7, completion_tokens: 3, cached_tokens: 1 },
      finish_reason: "stop",
      timings: { queue_ms: 0, prefill_ms: 1, decode_ms: 1 },
    });
  }

  error(request: Message, errorClass: string, code: string, message = "told to fail"): void {
    const { request_id, stream } = request;
    this.send({ type: "inference_error", request_id, stream, class: errorClass, code, message });
  }

  heartbeat(fields: object = {}): void {
    this.send({
      type: "heartbeat",
      loaded_models: [],
      running: 0,
      waiting: 0,
      max_concurrency: 4,
      memory_free_gb: 10,
      memory_pressure: 0.1,
      thermal_state: "nominal",
      accepting: true,
      assignment: null,
      ...fields,
    });
  }

  close(code = 1000): void {
    this.#socket.close(code, "test");
  }

  #onMessage(text: string): void {
    if (text === "pong") {
      this.#onPong();
      return;
    }
    const message = JSON.parse(text) as Message;
    const index = this.#waiting.findIndex(({ matches }) => matches(message));
    if (index < 0) this.#received.push(message);
    else this.#waiting.splice(index, 1)[0]?.resolve(message);
  }
}

/** The upgrade of a provider, whatever comes of it. */
export function dial(
  token: string | null,
  query: string,
  headers: Record<string, string> = {},
): Promise<Response> {
  return fetchEdge(`/v1/providers/connect?${query}`, {
    headers: {
      upgrade: "websocket",
      "sec-websocket-protocol": "poolkeeper.v1",
      ...(token === null ? {} : { authorization: `Bearer ${token}` }),
      ...headers,
    },
  });
}

export function registerMessage(machineId: string, models: readonly string[], fields: object = {}): object {
  return {
    type: "register",
    protocol: 1,
    version: "0.7.0",
    machine_id: machineId,
    session_id: "session",
    backend: "fake",
    public_key: `key-of-${machineId}`,
    hardware: {
      machine_model: "Mac15,14",
      chip_name: "Apple M3 Ultra",
      chip_family: "M3",
      chip_tier: "Ultra",
      memory_gb: 96,
      gpu_cores: 60,
      memory_bandwidth_gbs: 819,
    },
    models: models.map((id) => ({ id, size_bytes: 1_000_000 })),
    loaded_models: models.slice(0, 1),
    max_concurrency: 4,
    assignment: null,
    ...fields,
  };
}

/** Dials without registering. */
export async function connect(at: Scene, machineId = unique("mac")): Promise<FakeProvider> {
  const response = await dial(at.token, `machine=${machineId}&pool=${at.model}`);
  if (response.webSocket === null)
    throw new Error(`dial refused: ${response.status} ${await response.text()}`);
  return new FakeProvider(machineId, response.webSocket);
}

/** Dials and registers; resolves once the machine is routable. */
export async function join(at: Scene, fields: object = {}, machineId = unique("mac")): Promise<FakeProvider> {
  const provider = await connect(at, machineId);
  provider.send(registerMessage(machineId, [at.model], fields));
  await provider.next("registered");
  return provider;
}
