import type { ApiError } from "../../../core/api-error.ts";
import type { Connection, ConnectionState, PoolSocket } from "../../../core/pool/connection.ts";
import { Pool, type Admission } from "../../../core/pool/pool.ts";
import type { Answer, PoolRequest } from "../../../core/pool/request.ts";
import type { CloseReason } from "../../../protocol/close-codes.ts";
import { machineIdSchema, modelIdSchema } from "../../../protocol/ids.ts";
import { encodeRecords } from "../../../protocol/records.ts";

/** A pool with fake sockets, fake clients and a clock that only the test moves. */

export const MODEL = modelIdSchema.parse("m");
const START_AT = 1_000_000;

type Message = Record<string, unknown> & { type: string };

export class FakeSocket implements PoolSocket {
  readonly sent: Message[] = [];
  closed: { reason: CloseReason; detail: string | undefined } | null = null;
  saved: ConnectionState | null = null;
  pongAt = 0;

  send(text: string): void {
    if (this.closed !== null) throw new Error("the pool sent on a closed socket");
    this.sent.push(JSON.parse(text) as Message);
  }

  close(reason: CloseReason, detail?: string): void {
    this.closed ??= { reason, detail };
  }

  save(state: ConnectionState): void {
    this.saved = structuredClone(state);
  }

  lastPongAt(): number {
    return this.pongAt;
  }

  /** The messages of one type, taken out. */
  take(type: string): Message[] {
    const taken = this.sent.filter((message) => message.type === type);
    for (const message of taken) this.sent.splice(this.sent.indexOf(message), 1);
    return taken;
  }
}

/** What became of a request, as its client saw it. */
export class FakeClient implements Answer {
  text = "";
  ended: "complete" | "finished" | { refused: ApiError } | { broken: ApiError } | null = null;
  /** What `write` answers: bytes that wait undelivered. */
  undelivered = 0;
  endings = 0;

  complete(chunks: readonly Uint8Array[]): void {
    for (const chunk of chunks) this.text += new TextDecoder().decode(chunk);
    this.#end("complete");
  }

  refuse(refused: ApiError): void {
    if (this.text !== "") throw new Error("refused after bytes had been written");
    this.#end({ refused });
  }

  write(bytes: Uint8Array): number {
    if (this.ended !== null) throw new Error("written after the end");
    this.text += new TextDecoder().decode(bytes);
    return this.undelivered;
  }

  finish(): void {
    this.#end("finished");
  }

  breakOff(broken: ApiError): void {
    this.#end({ broken });
  }

  get refusedWith(): string | null {
    return typeof this.ended === "object" && this.ended !== null && "refused" in this.ended
      ? this.ended.refused.code
      : null;
  }

  get brokenWith(): string | null {
    return typeof this.ended === "object" && this.ended !== null && "broken" in this.ended
      ? this.ended.broken.code
      : null;
  }

  #end(how: NonNullable<FakeClient["ended"]>): void {
    this.endings += 1;
    this.ended = how;
  }
}

export interface Machine {
  readonly socket: FakeSocket;
  readonly connection: Connection;
}

export interface Sent {
  readonly request: Message;
  readonly machine: Machine;
}

export class PoolScene {
  now = START_AT;
  readonly remembered = new Set<string>();
  readonly questions: Connection[] = [];
  readonly pool: Pool;
  #requests = 0;

  constructor(remembered: readonly string[] = []) {
    this.pool = new Pool(
      MODEL,
      {
        askFleet: (connection) => this.questions.push(connection),
        rememberMachine: (id) => this.remembered.add(id),
        forgetMachine: (id) => this.remembered.delete(id),
      },
      remembered.map((id) => machineIdSchema.parse(id)),
      this.now,
    );
  }

  dial(machineId: string, restored: ConnectionState | null = null): Machine {
    const socket = new FakeSocket();
    const identity = {
      machineId: machineIdSchema.parse(machineId),
      owner: "o",
      tokenId: "t",
      acceptedAt: this.now,
    };
    return { socket, connection: this.pool.connect(socket, restored?.identity ?? identity, restored) };
  }

  say(machine: Machine, message: object): void {
    this.pool.receive(machine.connection, JSON.stringify(message), this.now);
  }

  register(machine: Machine, fields: object = {}): void {
    this.say(machine, {
      type: "register",
      protocol: 1,
      machine_id: machine.connection.identity.machineId,
      session_id: "s",
      backend: "fake",
      public_key: "k",
      hardware: {
        machine_model: "Mac",
        chip_name: "M3",
        chip_family: "M3",
        chip_tier: "Max",
        memory_gb: 64,
        gpu_cores: 40,
        memory_bandwidth_gbs: 400,
      },
      models: [{ id: MODEL, size_bytes: 1 }],
      loaded_models: [MODEL],
      max_concurrency: 2,
      assignment: null,
      ...fields,
    });
  }

  admit(machine: Machine, admission: Admission = { admitted: true, pools: [MODEL] }): void {
    this.pool.admitted(machine.connection, admission, this.now);
  }

  /** A machine that is here, registered and idle. */
  join(machineId: string, fields: object = {}): Machine {
    const machine = this.dial(machineId);
    this.register(machine, fields);
    this.admit(machine);
    machine.socket.take("registered");
    return machine;
  }

  heartbeat(machine: Machine, fields: object = {}): void {
    this.say(machine, {
      type: "heartbeat",
      loaded_models: [MODEL],
      running: 0,
      waiting: 0,
      max_concurrency: 2,
      memory_free_gb: 1,
      memory_pressure: 0,
      thermal_state: "nominal",
      accepting: true,
      assignment: null,
      ...fields,
    });
  }

  ask(
    fields: { stream?: boolean; requestId?: string; body?: string } = {},
  ): FakeClient & { request: PoolRequest } {
    const client = new FakeClient();
    const spec = {
      requestId: fields.requestId ?? `req_${++this.#requests}`,
      endpoint: "/v1/chat/completions",
      body: fields.body ?? "{}",
      stream: fields.stream ?? true,
      keyId: "key",
      slotsPerMachine: 4,
      arrivedAt: this.now,
      deadlineAt: this.now + 600_000,
    };
    return Object.assign(client, { request: this.pool.submit(spec, client, this.now) });
  }

  /** The requests a machine was sent since the last look. */
  requestsOf(machine: Machine): Sent[] {
    return machine.socket.take("inference_request").map((request) => ({ request, machine }));
  }

  /** The one request a machine was sent; fails the test if it was not exactly one. */
  requestOf(machine: Machine): Sent {
    const [only, ...others] = this.requestsOf(machine);
    if (only === undefined || others.length > 0)
      throw new Error(`${others.length + 1} requests where one was due`);
    return only;
  }

  accept({ machine, request }: Sent): void {
    this.say(machine, {
      type: "inference_accepted",
      request_id: request["request_id"],
      stream: request["stream"],
    });
  }

  bytes({ machine, request }: Sent, text: string): void {
    const frame = encodeRecords([
      { stream: Number(request["stream"]), chunks: [new TextEncoder().encode(text)] },
    ]);
    this.pool.receiveFrame(machine.connection, frame.buffer, this.now);
  }

  complete({ machine, request }: Sent): void {
    this.say(machine, {
      type: "inference_complete",
      request_id: request["request_id"],
      stream: request["stream"],
      usage: { prompt_tokens: 5, completion_tokens: 2 },
      finish_reason: "stop",
      timings: { queue_ms: 0, prefill_ms: 1, decode_ms: 1 },
    });
  }

  error({ machine, request }: Sent, errorClass: string, code: string): void {
    this.say(machine, {
      type: "inference_error",
      request_id: request["request_id"],
      stream: request["stream"],
      class: errorClass,
      code,
      message: `told ${code}`,
    });
  }

  lose(machine: Machine): void {
    this.pool.disconnected(machine.connection, this.now);
  }

  /** Moves the clock as the shell would: in ticks. Machines stay alive unless told otherwise. */
  advance(ms: number, alive: readonly Machine[] = []): void {
    const end = this.now + ms;
    while (this.now < end) {
      this.now = Math.min(end, this.now + 250);
      for (const { socket } of alive) socket.pongAt = this.now;
      this.pool.tick(this.now);
    }
  }
}
