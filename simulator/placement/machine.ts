import type { Connection, PoolSocket } from "../../core/pool/connection.ts";
import type { Pool } from "../../core/pool/pool.ts";
import { decodeDownstream, encodeUpstream } from "../../protocol/codec.ts";
import type { AssignModel, InferenceRequest } from "../../protocol/downstream.ts";
import {
  machineIdSchema,
  NEVER_MANAGED,
  type Epoch,
  type MachineId,
  type ModelId,
} from "../../protocol/ids.ts";
import { encodeRecords } from "../../protocol/records.ts";
import type { Upstream } from "../../protocol/upstream.ts";
import { type Coordinator, idOf, modelOf, SLOTS } from "./coordinator.ts";
import { randomFrom } from "./random.ts";
import type { Machine, Scenario } from "./scenario.ts";

/**
 * A machine as far as the coordinator can see one: it speaks the provider's protocol and does nothing else. A machine unit is
 * four streams at 60 tokens/s, and a request as many tokens as make that machine serve `machine_requests_per_minute`. A switch
 * drains for 15 s and loads for the rest of its time; whether the k-th load of a machine fails depends on the seed, the machine and k.
 */

export const TOKENS_PER_SECOND = 60;
const PREFILL_PER_DECODE = 10;
/** A machine decodes this much faster alone than each of four streams: the coordinator asks for the speed alone. */
const ALONE = 1 + 0.35 * (SLOTS - 1);

const DRAIN_S = 15;
/** The coordinator gives a load up after 180 s and a drain after 70. */
const LOAD_MAX_S = 175;
export const SWITCH_MAX_S = LOAD_MAX_S + 65;

export interface MachineSocket extends PoolSocket {
  readonly pool: Pool | null;
}

interface Wire extends MachineSocket {
  pool: Pool | null;
  connection: Connection | null;
  isRegistered: boolean;
}

type Status = "draining" | "loading" | "succeeded" | "failed";

export class SimMachine {
  readonly id: MachineId;
  isAway = false;
  readonly #coordinator: Coordinator;
  readonly #scenario: Scenario;
  readonly #index: number;
  readonly #wires = new Map<ModelId, Wire>();
  /** What it holds or is to hold, as it would say. */
  #held: { model_id: ModelId | null; epoch: Epoch } = { model_id: null, epoch: NEVER_MANAGED };
  #loaded: ModelId | null;
  /** How far the switch is, if the pool it goes to has not let the machine in yet and would not hear it. */
  #unsaid: Status | null = null;
  #loads = 0;
  #running = 0;
  #session = 0;
  /** Cancels the step of the switch that comes next. */
  #cancel: () => void = () => {};
  /** Before the replay begins, switches take no time and no load fails. */
  isPreparing = true;

  constructor(coordinator: Coordinator, scenario: Scenario, index: number, model: number | null) {
    this.#coordinator = coordinator;
    this.#scenario = scenario;
    this.#index = index;
    this.id = machineIdSchema.parse(`mac-${String(index).padStart(5, "0")}`);
    // Without a place it never joins.
    this.isAway = model === null;
    this.#loaded = model === null ? null : idOf(model);
  }

  /** Joins the fleet, or comes back to it with nothing in memory. */
  join(): void {
    if (this.isAway) this.#loaded = null;
    this.isAway = false;
    this.#session += 1;
    this.#dial(this.#held.model_id ?? this.#loaded ?? idOf(0));
    // What it holds has to be loaded again, as after any start.
    if (this.#held.model_id !== null && this.#loaded === null) this.#begin();
  }

  /** Its network is gone, and the pools notice at once. */
  leave(): void {
    this.isAway = true;
    this.#cancel();
    this.#unsaid = null;
    this.#running = 0;
    for (const { pool, connection } of this.#wires.values()) {
      if (pool !== null && connection !== null) pool.disconnected(connection, this.#now());
    }
    this.#wires.clear();
  }

  #now(): number {
    return this.#coordinator.clock.now();
  }

  #machine(): Machine {
    const machine = this.#scenario.machines[this.#index];
    if (machine === undefined) throw new RangeError(`no machine ${this.#index}`);
    return machine;
  }

  #dial(named: ModelId): void {
    const wire: Wire = {
      pool: null,
      connection: null,
      isRegistered: false,
      send: (text) => this.#coordinator.later(() => this.#receive(wire, text)),
      close: () => {
        if (wire.pool !== null && this.#wires.get(wire.pool.model) === wire)
          this.#wires.delete(wire.pool.model);
        wire.connection = null;
      },
      save: () => {},
      // The platform pings for it.
      lastPongAt: () => (this.isAway ? 0 : this.#now()),
    };
    const dialed = this.#coordinator.dial(this.id, named, wire);
    if (dialed === null) return;
    wire.pool = dialed.pool;
    wire.connection = dialed.connection;
    this.#wires.set(dialed.pool.model, wire);
    this.#say(wire, this.#register());
  }

  #register(): Upstream {
    const { speeds } = this.#machine();
    const models = speeds.flatMap((speed, model) =>
      speed === 0
        ? []
        : [
            {
              id: idOf(model),
              size_bytes: 20e9,
              decode_tps: TOKENS_PER_SECOND * ALONE * speed,
              prefill_tps: PREFILL_PER_DECODE * TOKENS_PER_SECOND * speed,
            },
          ],
    );
    return {
      type: "register",
      protocol: 1,
      version: "0.7.0",
      machine_id: this.id,
      session_id: `session-${this.#session}`,
      backend: "simulated",
      public_key: "key",
      hardware: {
        machine_model: "Mac",
        chip_name: "simulated",
        chip_family: "M",
        chip_tier: "Max",
        memory_gb: 64,
        gpu_cores: 1,
        memory_bandwidth_gbs: 400,
      },
      models,
      loaded_models: this.#loaded === null ? [] : [this.#loaded],
      max_concurrency: SLOTS,
      assignment: this.#held.epoch === NEVER_MANAGED ? null : this.#held,
    };
  }

  #say(wire: Wire, message: Upstream): void {
    const { pool, connection } = wire;
    if (pool === null || connection === null || this.isAway) return;
    this.#coordinator.later(() => pool.receive(connection, encodeUpstream(message), this.#now()));
  }

  #receive(wire: Wire, text: string): void {
    if (wire.connection === null || this.isAway) return;
    const decoded = decodeDownstream(text);
    if (!decoded.ok)
      throw new Error(`the coordinator sent what no machine understands: ${text.slice(0, 200)}`);
    const message = decoded.value;
    switch (message.type) {
      case "registered":
        this.#obey(message.assignment);
        wire.isRegistered = true;
        if (this.#unsaid !== null) this.#status(this.#unsaid);
        return;
      case "assign_model":
        this.#obey(message);
        return;
      case "inference_request":
        this.#serve(wire, message);
        return;
      case "cancel":
      case "pause":
      case "resume":
      case "attestation_challenge":
        return;
    }
  }

  #obey({ model_id, epoch }: Pick<AssignModel, "model_id" | "epoch">): void {
    if (epoch <= this.#held.epoch) return;
    const isSwitch = model_id !== this.#held.model_id || this.#loaded !== model_id;
    this.#held = { model_id, epoch };
    if (model_id === null) return;
    if (!this.#wires.has(model_id)) this.#dial(model_id);
    if (isSwitch) this.#begin();
    else this.#status("succeeded");
  }

  /** Drains, loads, and serves or fails. */
  #begin(): void {
    this.#cancel();
    const { switchSeconds } = this.#scenario;
    const isAtOnce = this.isPreparing || switchSeconds === 0;
    const loadS = Math.min(Math.max(0, switchSeconds - DRAIN_S), LOAD_MAX_S);
    const drainS = switchSeconds - loadS;
    const after = (seconds: number, step: () => void): void => {
      if (isAtOnce) step();
      else this.#cancel = this.#coordinator.clock.after(seconds * 1000, () => this.#coordinator.act(step));
    };
    this.#status("draining");
    after(drainS, () => {
      this.#loaded = null;
      this.#status("loading");
      after(loadS, () => this.#end());
    });
  }

  #end(): void {
    const { seed, loadFailures } = this.#scenario;
    const draw = randomFrom(seed * 1_000_003 + this.#index * 7919 + this.#loads * 104_729)();
    if (!this.isPreparing) this.#loads += 1;
    if (!this.isPreparing && draw < loadFailures) {
      this.#status("failed");
      return;
    }
    this.#loaded = this.#held.model_id;
    this.#status("succeeded");
  }

  #status(status: Status): void {
    const { model_id, epoch } = this.#held;
    const wire = model_id === null ? undefined : this.#wires.get(model_id);
    this.#unsaid = wire?.isRegistered === true ? null : status;
    if (model_id === null || wire?.isRegistered !== true) return;
    const error = { code: "load_failed" as const, message: "drawn to fail" };
    const failure = status === "failed" ? { error } : {};
    this.#say(wire, { type: "assign_model_status", model_id, epoch, status, ...failure });
  }

  /** Answers a request after the time it takes, with a word that means nothing. */
  #serve(wire: Wire, { request_id, stream, model_id }: InferenceRequest): void {
    if (this.#loaded !== model_id || this.#running >= SLOTS) {
      const code = this.#loaded === model_id ? "no_free_slot" : "switching_model";
      this.#say(wire, {
        type: "inference_error",
        request_id,
        stream,
        class: "capacity",
        code,
        message: code,
      });
      return;
    }
    const speed = this.#machine().speeds[modelOf(model_id)] ?? 1;
    const seconds = (SLOTS * 60) / this.#scenario.requestsPerMinute / speed;
    const tokenSeconds = 1 / TOKENS_PER_SECOND / speed;
    const tokens = Math.round(seconds / tokenSeconds);
    const session = this.#session;
    this.#running += 1;
    this.#say(wire, { type: "inference_accepted", request_id, stream });
    for (let at = WORD_EVERY_S; at < seconds; at += WORD_EVERY_S) {
      this.#coordinator.clock.after(at * 1000, () => this.#send(wire, session, stream, WORD));
    }
    this.#coordinator.clock.after(seconds * 1000, () => {
      const { pool, connection } = wire;
      if (session !== this.#session || this.isAway) return;
      this.#running -= 1;
      if (pool === null || connection === null) return;
      this.#coordinator.act(() => {
        this.#send(wire, session, stream, ANSWER);
        this.#say(wire, {
          type: "inference_complete",
          request_id,
          stream,
          usage: { prompt_tokens: 0, completion_tokens: tokens },
          finish_reason: "stop",
          // From the first token to the last: without the time of one.
          timings: { queue_ms: 0, prefill_ms: 0, decode_ms: Math.max(0, 1000 * (seconds - tokenSeconds)) },
        });
      });
    });
  }

  #send({ pool, connection }: Wire, session: number, stream: number, chunk: Uint8Array): void {
    if (pool === null || connection === null || session !== this.#session || this.isAway) return;
    const { buffer } = encodeRecords([{ stream, chunks: [chunk] }]);
    this.#coordinator.act(() => pool.receiveFrame(connection, buffer, this.#now()));
  }
}

/** A machine that says nothing for a minute is taken to be stuck. */
const WORD_EVERY_S = 20;

const WORD = new TextEncoder().encode("data: word\n\n");
const ANSWER = new TextEncoder().encode("data: word\n\ndata: [DONE]\n\n");
