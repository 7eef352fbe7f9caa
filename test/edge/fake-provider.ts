import { expect } from "vitest";

import type { PoolCall } from "../../core/pool/calls.ts";
import { machineIdSchema, modelIdSchema, NEVER_MANAGED } from "../../protocol/ids.ts";
import { encodeRecords } from "../../protocol/records.ts";
import { M3_ULTRA } from "../../protocol/sample-hardware.ts";
import { chat, fetchEdge, pin, poolOf, type Scene, unique, until } from "./scene.ts";

/** A provider under the test's full control: it says exactly what it is told to, right or wrong. */

/** A streamed answer as short as one can be. */
export const HELLO = "data: hello\n\ndata: [DONE]\n\n";

export type Message = Record<string, unknown> & { type: string };

export class FakeProvider {
  readonly machineId: string;
  readonly closed: Promise<{ code: number; reason: string }>;
  /** Settles with the first pong. */
  readonly ponged: Promise<void>;
  readonly #socket: WebSocket;
  readonly #received: Message[] = [];
  readonly #waiting: { type: string; resolve: (message: Message) => void }[] = [];
  readonly #texts: string[] = [];
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

  /** Every text frame that came, as it came. */
  get texts(): readonly string[] {
    return this.#texts;
  }

  /** Types of the messages that have come and nobody has waited for. */
  get unread(): readonly string[] {
    return this.#received.map(({ type }) => type);
  }

  /** The next message of a type, also one that has come already. */
  next(type: string): Promise<Message> {
    const index = this.#received.findIndex((message) => message.type === type);
    const [known] = index < 0 ? [] : this.#received.splice(index, 1);
    if (known !== undefined) return Promise.resolve(known);
    return new Promise((resolve) => this.#waiting.push({ type, resolve }));
  }

  /** Once this is done, everything that the pool has sent before has arrived. */
  async hasHeardAll(at: Scene): Promise<void> {
    const call = {
      kind: "announce",
      machineId: machineIdSchema.parse(this.machineId),
      pools: [modelIdSchema.parse(at.model)],
      assignment: { model_id: null, epoch: NEVER_MANAGED, drain_ms: 30_000, load_ms: 180_000 },
    } satisfies PoolCall;
    await poolOf(at).perform(call);
    await this.next("registered");
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

  bytes(request: Message, ...texts: string[]): void {
    const chunks = texts.map((text) => new TextEncoder().encode(text));
    this.sendBinary(encodeRecords([{ stream: Number(request["stream"]), chunks }]));
  }

  accept({ request_id, stream }: Message): void {
    this.send({ type: "inference_accepted", request_id, stream });
  }

  complete(
    { request_id, stream }: Message,
    { completion_tokens, decode_ms } = { completion_tokens: 3, decode_ms: 9 },
  ): void {
    this.send({
      type: "inference_complete",
      request_id,
      stream,
      usage: { prompt_tokens: 7, completion_tokens, cached_tokens: 1 },
      finish_reason: "stop",
      timings: { queue_ms: 0, prefill_ms: 5, decode_ms },
    });
  }

  /** Ends a stream. */
  finish(request: Message): void {
    this.bytes(request, "data: [DONE]\n\n");
    this.complete(request);
  }

  error({ request_id, stream }: Message, errorClass: string, code: string, message = "told to fail"): void {
    this.send({ type: "inference_error", request_id, stream, class: errorClass, code, message });
  }

  /** Accepts, answers and completes. */
  answer(request: Message, text = HELLO): void {
    this.accept(request);
    this.bytes(request, text);
    this.complete(request);
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
    this.#texts.push(text);
    const message = JSON.parse(text) as Message;
    const index = this.#waiting.findIndex(({ type }) => type === message.type);
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
    hardware: M3_ULTRA,
    models: models.map((id) => ({ id, size_bytes: 1_000_000 })),
    loaded_models: models.slice(0, 1),
    max_concurrency: 4,
    assignment: null,
    ...fields,
  };
}

/** Dials without registering. */
export async function connect(
  at: Scene,
  machineId = unique("mac"),
  token: string = at.token,
): Promise<FakeProvider> {
  const response = await dial(token, `machine=${machineId}&pool=${at.model}`);
  if (response.webSocket === null) throw new Error(`refused: ${response.status} ${await response.text()}`);
  return new FakeProvider(machineId, response.webSocket);
}

/** Dials and registers; resolves once the machine is routable. */
export async function join(at: Scene, fields: object = {}, machineId = unique("mac")): Promise<FakeProvider> {
  const provider = await connect(at, machineId);
  provider.send(registerMessage(machineId, [at.model], fields));
  await provider.next("registered");
  return provider;
}

/** A machine that is assigned to model a and has model b on disk too. */
export async function assigned(a: Scene, b: Scene): Promise<{ machine: FakeProvider; epoch: number }> {
  const machineId = unique("mac");
  const machine = await connect(a, machineId);
  machine.send(registerMessage(machineId, [a.model, b.model]));
  await machine.next("registered");
  const { epoch } = await pin(machineId, a);
  await machine.next("assign_model");
  return { machine, epoch };
}

/** The same once it serves model a. */
export async function assignedAndServing(a: Scene, b: Scene): Promise<FakeProvider> {
  const { machine, epoch } = await assigned(a, b);
  machine.send({ type: "assign_model_status", model_id: a.model, epoch, status: "succeeded" });
  await until(async () => (await poolOf(a).report(4)).machines[0]?.blockedBy === null);
  return machine;
}

/** That a request finds its way to the machine and back. Gives the request as the machine got it. */
export async function expectAnswer(at: Scene, machine: FakeProvider): Promise<Message> {
  const pending = chat(at, { stream: true });
  const request = await machine.next("inference_request");
  machine.answer(request);
  expect(await (await pending).text()).toBe(HELLO);
  return request;
}
