import type { Admission } from "../../../../core/pool/admission.ts";
import type { Proof } from "../../../../core/pool/attestation.ts";
import type { Connection, ConnectionState } from "../../../../core/pool/connection.ts";
import { EMPTY_LEDGER } from "../../../../core/pool/ledger.ts";
import type { RequestOutcome } from "../../../../core/pool/outcome.ts";
import type { OwnerRoute } from "../../../../core/pool/owner-route.ts";
import { Pool } from "../../../../core/pool/pool.ts";
import { NO_SLEEPERS, type PoolNews, type Sleepers } from "../../../../core/pool/ports.ts";
import type { Priority } from "../../../../core/pool/priority.ts";
import type { PoolRecord } from "../../../../core/pool/record.ts";
import type { PoolRequest } from "../../../../core/pool/request.ts";
import { INITIAL_SETTINGS, type PoolSettings } from "../../../../core/pool/settings.ts";
import {
  machineIdSchema,
  modelIdSchema,
  NEVER_MANAGED,
  type MachineId,
  type ModelId,
} from "../../../../protocol/ids.ts";
import { encodeRecords } from "../../../../protocol/records.ts";
import { M3_MAX } from "../../../../protocol/sample-hardware.ts";
import { FakeClient } from "./fake-client.ts";
import { FakeSocket, type Message } from "./fake-socket.ts";

/** A pool with fake sockets, fake clients and a clock that only the test moves. */

export const MODEL = modelIdSchema.parse("m");
const START_AT = 1_000_000;
/** As the shell's timer. */
const TICK_MS = 250;

export interface Machine {
  readonly socket: FakeSocket;
  readonly connection: Connection;
}

/** One request as a machine was sent it. */
export interface Sent {
  readonly request: Message;
  readonly machine: Machine;
}

export type Client = FakeClient & { readonly request: PoolRequest };

/** How a machine has read a prompt. */
interface Read {
  readonly tokens: number;
  readonly cached: number;
  readonly ms: number;
  /** Completion tokens. */
  readonly written: number;
}

export interface Ask {
  readonly endpoint?: string;
  readonly stream?: boolean;
  readonly requestId?: string;
  readonly body?: string;
  readonly slots?: number;
  readonly contextLength?: number;
  readonly answerTokens?: number;
  readonly prefix?: readonly number[];
  readonly cacheKeys?: readonly number[];
  readonly keyId?: string;
  readonly priority?: Priority;
  readonly model?: ModelId;
  readonly owner?: OwnerRoute;
  readonly deadlineMs?: number;
}

/** The fleet's word on a machine that was never managed, unless `fields` say otherwise. */
export function anAdmission(
  fields: Partial<Extract<Admission, { admitted: true }>> = {},
): Extract<Admission, { admitted: true }> {
  return {
    admitted: true,
    stamp: { mode: "unmanaged", epoch: NEVER_MANAGED },
    pools: [MODEL],
    assignment: UNMANAGED,
    publicKey: "k",
    isCordoned: false,
    cordonAsOf: 0,
    ...fields,
  };
}

/** What `registered` says to a machine that was never managed. */
export const UNMANAGED = { model_id: null, epoch: NEVER_MANAGED, drain_ms: 30_000, load_ms: 180_000 };

export class PoolScene {
  now: number;
  /** What the pool has asked to be kept: machines that are here. */
  readonly remembered: Set<string>;
  /** How often the pool has asked for them. */
  memoryReads = 0;
  /** Registers the fleet has been asked about. */
  readonly questions: Connection[] = [];
  readonly pool: Pool;
  /** What the pool has told the fleet. */
  readonly news: PoolNews[] = [];
  /** What it has written down, as a later life of it finds it. */
  readonly records: Map<string, PoolRecord>;
  readonly cordons: Map<MachineId, number>;
  /** What it has said of requests that have ended. */
  readonly ended: RequestOutcome[] = [];
  /** Answers to challenges that it has asked to be checked. */
  readonly proofs: { readonly connection: Connection; readonly proof: Proof }[] = [];
  /** How often it has asked the fleet for the supply. */
  supplyQuestions = 0;
  readonly #settings: PoolSettings;
  /** What the pool draws when it leaves something to chance. */
  chance = 0;
  #requests = 0;
  #nonces = 0;
  #settingsVersion = INITIAL_SETTINGS.version;

  constructor(
    remembered: readonly string[] = [],
    now = START_AT,
    records = new Map<string, PoolRecord>(),
    settings: PoolSettings = INITIAL_SETTINGS,
    cordons = new Map<MachineId, number>(),
    sleepers: Sleepers = NO_SLEEPERS,
  ) {
    this.now = now;
    this.remembered = new Set(remembered);
    this.records = records;
    this.cordons = cordons;
    this.#settings = settings;
    this.pool = new Pool(
      MODEL,
      {
        askFleet: (connection) => this.questions.push(connection),
        tellFleet: (news) => this.news.push(news),
        askSupply: () => (this.supplyQuestions += 1),
        ended: (outcome) => this.ended.push(outcome),
        records: {
          all: () => [...records.values()],
          put: (record) => records.set(record.machineId, record),
          remove: (id) => records.delete(id),
        },
        cordons: {
          all: () => [...cordons],
          put: (id, asOf) => cordons.set(id, asOf),
          remove: (id) => cordons.delete(id),
        },
        saveSettings: () => {},
        rememberMachine: (id) => this.remembered.add(id),
        forgetMachine: (id) => this.remembered.delete(id),
        random: () => this.chance,
        nonce: () => `nonce-${++this.#nonces}`,
        verifyProof: (connection, proof) => this.proofs.push({ connection, proof }),
      },
      { sleepers, remembered: () => this.#readMemory(), settings, ledger: EMPTY_LEDGER },
      this.now,
    );
  }

  dial(
    machineId: string,
    socket = new FakeSocket(),
    restored: ConnectionState | null = null,
    tokenId = "t",
  ): Machine {
    const identity = {
      machineId: machineIdSchema.parse(machineId),
      owner: "o",
      tokenId,
      acceptedAt: this.now,
    };
    return { socket, connection: this.pool.connect(socket, restored?.identity ?? identity, restored) };
  }

  #readMemory(): MachineId[] {
    this.memoryReads += 1;
    return [...this.remembered].map((id) => machineIdSchema.parse(id));
  }

  /** The pool after it has slept: another object with the same sockets, and nothing else of the old one. */
  sleep(...machines: readonly Machine[]): { scene: PoolScene; machines: Machine[] } {
    const scene = new PoolScene([...this.remembered], this.now, this.records, this.#settings, this.cordons);
    return {
      scene,
      machines: machines.map(({ socket, connection }) =>
        scene.dial(connection.identity.machineId, socket, socket.saved),
      ),
    };
  }

  /** The same, but that the sockets sleep on, in this order, until the pool wakes them one by one. */
  sleepOn(...machines: readonly Machine[]): { scene: PoolScene; woken: readonly Machine[] } {
    const asleep = [...machines];
    const woken: Machine[] = [];
    const sleepers = {
      hasMore: () => asleep.length > 0,
      wakeSome: () => {
        const next = asleep.shift();
        if (next === undefined) throw new Error("the pool wakes more than there are");
        const { socket, connection } = next;
        woken.push(scene.dial(connection.identity.machineId, socket, socket.saved));
      },
    };
    const { now, records, cordons } = this;
    const scene = new PoolScene([...this.remembered], now, records, this.#settings, cordons, sleepers);
    return { scene, woken };
  }

  say(machine: Machine, message: object): void {
    this.pool.receive(machine.connection, JSON.stringify(message), this.now);
  }

  /** A register, or an offer if `fields` say so. */
  register(machine: Machine, fields: object = {}): void {
    this.say(machine, {
      type: "register",
      protocol: 1,
      version: "0.7.0",
      machine_id: machine.connection.identity.machineId,
      session_id: "s",
      backend: "fake",
      public_key: "k",
      hardware: M3_MAX,
      models: [{ id: MODEL, size_bytes: 1 }],
      loaded_models: [MODEL],
      max_concurrency: 2,
      assignment: null,
      ...fields,
    });
  }

  admit(machine: Machine, admission: Admission = anAdmission()): void {
    this.pool.admitted(machine.connection, admission, this.now);
  }

  /** A machine that is here, registered and idle. */
  join(machineId: string, fields: object = {}, tokenId = "t"): Machine {
    const machine = this.dial(machineId, new FakeSocket(), null, tokenId);
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

  ask(fields: Ask = {}): Client {
    const client = new FakeClient();
    const spec = {
      requestId: fields.requestId ?? `req_${++this.#requests}`,
      endpoint: fields.endpoint ?? "/v1/chat/completions",
      body: fields.body ?? "{}",
      prefix: fields.prefix ?? [],
      cacheKeys: fields.cacheKeys ?? [],
      stream: fields.stream ?? true,
      keyId: fields.keyId ?? "key",
      priority: fields.priority ?? "normal",
      reservation: null,
      slotsPerMachine: fields.slots ?? 4,
      contextLength: fields.contextLength ?? 100_000,
      answerTokens: fields.answerTokens ?? null,
      model: fields.model ?? MODEL,
      owner: fields.owner ?? null,
      arrivedAt: this.now,
      deadlineAt: this.now + (fields.deadlineMs ?? 600_000),
    };
    return Object.assign(client, { request: this.pool.submit(spec, client, this.now) });
  }

  /** The requests a machine was sent since the last look. */
  requestsOf(machine: Machine): Sent[] {
    return machine.socket.take("inference_request").map((request) => ({ request, machine }));
  }

  /** The one request a machine was sent; fails the test if it was not exactly one. */
  requestOf(machine: Machine): Sent {
    const requests = this.requestsOf(machine);
    const [only] = requests;
    if (only === undefined || requests.length > 1) {
      throw new Error(`${requests.length} requests where one was due`);
    }
    return only;
  }

  accept({ machine, request }: Sent): void {
    const { request_id, stream } = request;
    this.say(machine, { type: "inference_accepted", request_id, stream });
  }

  /** An event of an answer, which its client shows without the frame. */
  bytes(sent: Sent, text: string): void {
    this.rawBytes(sent, `data: ${text}\n\n`);
  }

  rawBytes({ machine, request }: Sent, text: string): void {
    const chunks = [new TextEncoder().encode(text)];
    const frame = encodeRecords([{ stream: Number(request["stream"]), chunks }]);
    this.pool.receiveFrame(machine.connection, frame.buffer, this.now);
  }

  /** The end of a stream that has begun. */
  finish(sent: Sent, read: Partial<Read> = {}): void {
    this.bytes(sent, "[DONE]");
    this.complete(sent, read);
  }

  /** @param read tokens of the prompt and the time that it took to read them, if they matter. */
  complete({ machine, request }: Sent, read: Partial<Read> = {}): void {
    const { request_id, stream } = request;
    this.say(machine, {
      type: "inference_complete",
      request_id,
      stream,
      usage: {
        prompt_tokens: read.tokens ?? 5,
        completion_tokens: read.written ?? 2,
        cached_tokens: read.cached ?? 1,
      },
      finish_reason: "stop",
      timings: { queue_ms: 0, prefill_ms: read.ms ?? 1, decode_ms: 1 },
    });
  }

  error({ machine, request }: Sent, errorClass: string, code: string): void {
    const { request_id, stream } = request;
    const message = `told ${code}`;
    this.say(machine, { type: "inference_error", request_id, stream, class: errorClass, code, message });
  }

  /** Accepts, answers and completes. */
  serve(sent: Sent, text: string, read: Partial<Read> = {}): void {
    this.accept(sent);
    this.bytes(sent, text);
    this.finish(sent, read);
  }

  /** The network takes a socket away. */
  lose(machine: Machine): void {
    machine.socket.isGone = true;
    this.pool.disconnected(machine.connection, this.now);
  }

  /** Moves the clock as the shell would: in ticks. Only machines in `alive` go on pinging. */
  advance(ms: number, ...alive: readonly Machine[]): void {
    const end = this.now + ms;
    while (this.now < end) {
      this.now = Math.min(end, this.now + TICK_MS);
      for (const { socket } of alive) socket.pongAt = this.now;
      this.pool.tick(this.now);
    }
  }

  /** Sets flags as the fleet would; what is not given is as at the start, but that an exhausted pool says so. */
  flags(flags: Partial<PoolSettings["flags"]>): void {
    const { supply } = INITIAL_SETTINGS;
    this.pool.configure(
      {
        version: ++this.#settingsVersion,
        flags: { ...INITIAL_SETTINGS.flags, pool_exhausted_429: "on", ...flags },
        supply: { ...supply, have: 1, couldHold: 1, at: this.now },
      },
      this.now,
    );
  }

  /** How many requests ended with which outcome since the last look. */
  outcomes(): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const { outcome, requests } of this.pool.ledger.usage.drain()) {
      counts[outcome] = (counts[outcome] ?? 0) + requests;
    }
    return counts;
  }
}
