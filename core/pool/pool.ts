import { decodeUpstream, encodeDownstream } from "../../protocol/codec.ts";
import { epochSchema, type MachineId, type ModelId } from "../../protocol/ids.ts";
import {
  FLUSH_INTERVAL_MS,
  HEARTBEAT_INTERVAL_MS,
  LIVENESS_TIMEOUT_MS,
  REGISTER_TIMEOUT_MS,
} from "../../protocol/limits.ts";
import { decodeRecords } from "../../protocol/records.ts";
import type { Heartbeat, Register, Upstream } from "../../protocol/upstream.ts";
import {
  DRAIN_TIMEOUT_MS,
  LOAD_TIMEOUT_MS,
  RECONNECT_GRACE_MS,
  SILENCE_CHECK_INTERVAL_MS,
  TICK_INTERVAL_MS,
} from "../limits.ts";
import {
  Connection,
  type ConnectionState,
  type Identity,
  type PoolSocket,
  type Registration,
} from "./connection.ts";
import { Dispatch } from "./dispatch.ts";
import { freeSlots, isLoaded, routableGate } from "./gate.ts";
import type { Answer, PoolRequest, RequestSpec } from "./request.ts";
import { Usage } from "./usage.ts";

/**
 * One model's pool: the machines that hold a socket to it and the requests on their way to them. It opens nothing
 * and waits for nothing: time comes in as an argument and effects go out through ports, so that a Durable Object
 * and a simulation run the same lines.
 *
 * A machine's way in: `connect` (socket accepted) -> `register` arrives -> the fleet is asked, since it knows whose
 * machine and which key this is -> `admitted` -> routable. Only an admitted register replaces an older socket of
 * the same machine (H11), so that nobody can cut a machine off by dialing under its name.
 */

const NEVER_MANAGED = epochSchema.parse(0);

/** What a pool asks the fleet when a machine registers. */
export interface AdmissionQuestion {
  readonly identity: Identity;
  readonly register: Register;
}

/** The fleet's word on a register. */
export type Admission =
  /** `pools`: every pool the machine should hold a socket to. */
  | { readonly admitted: true; readonly pools: readonly ModelId[] }
  | { readonly admitted: false; readonly close: "foreignKey" | "notAllowed" | "tooOld" | "restart" };

export interface PoolPorts {
  /** Asks the fleet; the shell brings the answer to `admitted`, or `restart` if the fleet does not answer. */
  askFleet(connection: Connection, question: AdmissionQuestion): void;
  /** Keeps across restarts which machines are here; those missing afterwards are waited for (H19). */
  rememberMachine(machineId: MachineId): void;
  forgetMachine(machineId: MachineId): void;
}

export interface PoolMachineReport {
  readonly machineId: string;
  readonly owner: string;
  readonly version: string | null;
  readonly loadedModels: readonly string[];
  /** Why no public request may go to it; null if it is routable. */
  readonly blockedBy: string | null;
  readonly loaded: boolean;
  readonly inFlight: number;
  readonly freeSlots: number;
}

export interface PoolReport {
  readonly model: string;
  readonly machines: readonly PoolMachineReport[];
  readonly inFlight: number;
  readonly queued: number;
  /** Frames from providers that were dropped, by kind, since the pool woke. */
  readonly ignored: { readonly records: number; readonly messages: number; readonly unknownTypes: number };
}

export class Pool {
  readonly model: ModelId;
  readonly usage = new Usage();
  readonly #ports: PoolPorts;
  readonly #sockets = new Set<Connection>();
  /** The admitted socket of each machine; there is never more than one (H11). */
  readonly #machines = new Map<MachineId, Connection>();
  readonly #dispatch: Dispatch;
  readonly #startedAt: number;
  /** Machines that were here when an earlier life of the pool ended and are not back yet. */
  readonly #missing: Set<MachineId>;
  /** A machine that has just vanished without a goodbye may be back before this time. */
  #lostUntil = 0;
  #nextSilenceCheckAt = 0;
  #unknownTypes = 0;

  /**
   * @param remembered machines that were here in an earlier life; those that do not come back with a socket of
   * their own are waited for.
   * @param now ms since the epoch, here and everywhere below.
   */
  constructor(model: ModelId, ports: PoolPorts, remembered: readonly MachineId[], now: number) {
    this.model = model;
    this.#ports = ports;
    this.#startedAt = now;
    this.#missing = new Set(remembered);
    this.#dispatch = new Dispatch(
      {
        model,
        connections: () => this.#machines.values(),
        expectingMachinesUntil: () => this.#expectingUntil(),
      },
      this.usage,
    );
  }

  /** Takes a socket that was just accepted, or one that survived hibernation with its saved state. */
  connect(socket: PoolSocket, identity: Identity, restored: ConnectionState | null): Connection {
    const connection = new Connection(socket, identity, restored);
    this.#sockets.add(connection);
    if (restored === null) connection.save();
    else if (restored.registration !== null) {
      this.#machines.set(identity.machineId, connection);
      this.#missing.delete(identity.machineId);
    }
    return connection;
  }

  /** A text frame. Whatever is wrong with it harms nobody but its sender. */
  receive(connection: Connection, text: string, now: number): void {
    if (connection.closed) return;
    connection.lastMessageAt = now;
    const decoded = decodeUpstream(text);
    if (decoded.ok) {
      this.#onMessage(connection, decoded.value, now);
      return;
    }
    switch (decoded.error.kind) {
      case "unknown_type":
        this.#unknownTypes += 1;
        return;
      case "malformed":
        this.#close(connection, "badMessage", now, decoded.error.detail);
        return;
      case "too_large":
        this.#close(
          connection,
          "badMessage",
          now,
          `a text frame of ${decoded.error.bytes} bytes is too large`,
        );
    }
  }

  /** A binary frame: records of response bytes. */
  receiveFrame(connection: Connection, frame: ArrayBuffer, now: number): void {
    if (connection.closed) return;
    connection.lastMessageAt = now;
    if (connection.registration === null) {
      this.#close(connection, "badMessage", now, "the first frame must be register");
      return;
    }
    const records = decodeRecords(frame);
    if (records === null) {
      this.#close(connection, "badMessage", now, "the lengths of a binary frame do not add up");
      return;
    }
    for (const { stream, bytes } of records) this.#dispatch.bytes(connection, stream, bytes, now);
  }

  /** The socket has closed by the machine's doing or the network's. */
  disconnected(connection: Connection, now: number): void {
    if (connection.closed) return;
    // A machine that did not say goodbye is likely to be back in a moment.
    if (connection.registration?.accepting === true) this.#lostUntil = now + RECONNECT_GRACE_MS;
    this.#drop(connection, now);
  }

  /** A socket that had slept with the pool and was closed before it woke. */
  lostAsleep({ identity, registration }: ConnectionState, now: number): void {
    // If it is not missing, another socket of it is here, or it had left before.
    if (!this.#missing.delete(identity.machineId)) return;
    this.#ports.forgetMachine(identity.machineId);
    if (registration?.accepting === true) this.#lostUntil = now + RECONNECT_GRACE_MS;
  }

  /** The fleet's answer to `askFleet`. */
  admitted(connection: Connection, admission: Admission, now: number): void {
    const { admitting } = connection;
    if (connection.closed || admitting === null) return;
    connection.admitting = null;
    if (!admission.admitted) {
      this.#close(connection, admission.close, now);
      return;
    }
    const { machineId } = connection.identity;
    const older = this.#machines.get(machineId);
    connection.registration = admitting.registration;
    connection.save();
    this.#machines.set(machineId, connection);
    this.#missing.delete(machineId);
    this.#ports.rememberMachine(machineId);
    this.#sendRegistered(connection, admission.pools);
    // Only now, so that what ran on the older socket without a byte can go to this one.
    if (older !== undefined) this.#close(older, "superseded", now);
    this.#dispatch.drain(now);
  }

  /** The list of pools of a machine has changed, for instance because the catalog has. */
  announcePools(machineId: MachineId, pools: readonly ModelId[]): void {
    const connection = this.#machines.get(machineId);
    if (connection !== undefined) this.#sendRegistered(connection, pools);
  }

  submit(spec: RequestSpec, answer: Answer, now: number): PoolRequest {
    return this.#dispatch.submit(spec, answer, now);
  }

  abandon(request: PoolRequest, now: number): void {
    this.#dispatch.abandon(request, now);
    this.#dispatch.drain(now);
  }

  resume(request: PoolRequest, now: number): void {
    this.#dispatch.resume(request, now);
  }

  /** Closes every socket that was dialed with a revoked token. */
  revoke(tokenId: string, now: number): void {
    for (const connection of this.#sockets) {
      if (connection.identity.tokenId !== tokenId) continue;
      this.#close(connection, "notAllowed", now, "token revoked");
    }
  }

  /**
   * Closes sockets without a sign of life and those that never registered (H20).
   * @returns the machines that still hold a socket here.
   */
  sweep(now: number): MachineId[] {
    for (const connection of this.#sockets) {
      if (now - connection.lastSeenAt() > LIVENESS_TIMEOUT_MS) this.#close(connection, "silent", now);
      else if (isUnregistered(connection) && now - connection.identity.acceptedAt > REGISTER_TIMEOUT_MS) {
        this.#close(connection, "notRegistered", now);
      }
    }
    if (now > this.#startedAt + RECONNECT_GRACE_MS) {
      for (const machineId of this.#missing) this.#ports.forgetMachine(machineId);
      this.#missing.clear();
    }
    return [...new Set([...this.#sockets].map((connection) => connection.identity.machineId))];
  }

  /** Looks at every deadline. */
  tick(now: number): void {
    this.#dispatch.tick(now);
    if (now < this.#nextSilenceCheckAt) return;
    this.#nextSilenceCheckAt = now + SILENCE_CHECK_INTERVAL_MS;
    this.sweep(now);
  }

  /** When `tick` wants to be called; null if nothing here needs a clock, so that the pool may sleep. */
  nextTickAt(now: number): number | null {
    if (!this.#dispatch.isIdle) return now + TICK_INTERVAL_MS;
    // Whoever is missing is forgotten then.
    let at = this.#missing.size > 0 ? this.#startedAt + RECONNECT_GRACE_MS + 1 : null;
    for (const connection of this.#sockets) {
      if (!isUnregistered(connection)) continue;
      const due = connection.identity.acceptedAt + REGISTER_TIMEOUT_MS + 1;
      if (at === null || due < at) at = due;
    }
    if (at === null) return null;
    return Math.max(at, this.#nextSilenceCheckAt, now + TICK_INTERVAL_MS);
  }

  report(now: number, slotsPerMachine: number): PoolReport {
    const machines = [...this.#machines.values()].map((connection) => ({
      machineId: connection.identity.machineId,
      owner: connection.identity.owner,
      version: connection.registration?.version ?? null,
      loadedModels: connection.registration?.loadedModels ?? [],
      blockedBy: routableGate(connection, now),
      loaded: isLoaded(connection, this.model),
      inFlight: connection.attempts.size,
      freeSlots: Math.max(0, freeSlots(connection, slotsPerMachine)),
    }));
    return {
      model: this.model,
      machines,
      inFlight: this.#dispatch.inFlight,
      queued: this.#dispatch.queued,
      ignored: { ...this.#dispatch.ignored, unknownTypes: this.#unknownTypes },
    };
  }

  #onMessage(connection: Connection, message: Upstream, now: number): void {
    if (message.type === "register") {
      this.#onRegister(connection, message, now);
      return;
    }
    if (isUnregistered(connection) && connection.admitting === null) {
      this.#close(connection, "badMessage", now, "the first frame must be register");
      return;
    }
    switch (message.type) {
      case "heartbeat":
        this.#onHeartbeat(connection, message, now);
        return;
      case "inference_accepted":
        this.#dispatch.accepted(connection, message.stream, message.request_id, now);
        return;
      case "inference_complete":
        this.#dispatch.complete(connection, message, now);
        return;
      case "inference_error":
        this.#dispatch.failed(connection, message, now);
        return;
      case "assign_model_status":
      case "attestation_response":
        // No assignment and no challenge is ever sent by this pool yet, so these answer nothing.
        this.#dispatch.ignored.messages += 1;
    }
  }

  #onRegister(connection: Connection, register: Register, now: number): void {
    const { identity } = connection;
    if (connection.registration !== null || connection.admitting !== null) {
      this.#close(connection, "badMessage", now, "register came twice");
    } else if (register.machine_id !== identity.machineId) {
      this.#close(connection, "badMessage", now, "register names another machine than the dial");
    } else {
      connection.admitting = { registration: this.#registrationOf(register) };
      this.#ports.askFleet(connection, { identity, register });
    }
  }

  #registrationOf(register: Register): Registration {
    const advertised = register.models.find((model) => model.id === this.model);
    return {
      sessionId: register.session_id,
      version: register.version ?? null,
      privateOnly: register.private_only ?? false,
      advertises: advertised !== undefined,
      decodeTps: advertised?.decode_tps ?? null,
      prefillTps: advertised?.prefill_tps ?? null,
      loadedModels: register.loaded_models,
      maxConcurrency: register.max_concurrency,
      running: 0,
      accepting: true,
      thermalState: "nominal",
    };
  }

  #onHeartbeat(connection: Connection, heartbeat: Heartbeat, now: number): void {
    const known = connection.registration ?? connection.admitting?.registration;
    if (known === undefined) return;
    const registration: Registration = {
      ...known,
      loadedModels: heartbeat.loaded_models,
      maxConcurrency: heartbeat.max_concurrency,
      running: heartbeat.running,
      accepting: heartbeat.accepting,
      thermalState: heartbeat.thermal_state,
    };
    if (connection.registration === null) {
      connection.admitting = { registration };
      return;
    }
    connection.registration = registration;
    connection.refusedUntil = 0;
    connection.save();
    this.#dispatch.drain(now);
  }

  #sendRegistered(connection: Connection, pools: readonly ModelId[]): void {
    connection.socket.send(
      encodeDownstream({
        type: "registered",
        machine_id: connection.identity.machineId,
        pool: this.model,
        pools: [...pools],
        assignment: {
          model_id: null,
          epoch: NEVER_MANAGED,
          drain_ms: DRAIN_TIMEOUT_MS,
          load_ms: LOAD_TIMEOUT_MS,
        },
        heartbeat_ms: HEARTBEAT_INTERVAL_MS,
        flush_ms: FLUSH_INTERVAL_MS,
      }),
    );
  }

  #close(
    connection: Connection,
    reason:
      | "badMessage"
      | "superseded"
      | "notRegistered"
      | "silent"
      | "notAllowed"
      | "foreignKey"
      | "tooOld"
      | "restart",
    now: number,
    detail?: string,
  ): void {
    connection.socket.close(reason, detail);
    this.#drop(connection, now);
  }

  #drop(connection: Connection, now: number): void {
    connection.closed = true;
    this.#sockets.delete(connection);
    this.#dispatch.connectionLost(connection, now);
    const { machineId } = connection.identity;
    if (this.#machines.get(machineId) !== connection) return;
    this.#machines.delete(machineId);
    this.#ports.forgetMachine(machineId);
  }

  #expectingUntil(): number {
    const forMissing = this.#missing.size > 0 ? this.#startedAt + RECONNECT_GRACE_MS : 0;
    return Math.max(forMissing, this.#lostUntil);
  }
}

function isUnregistered(connection: Connection): boolean {
  return connection.registration === null;
}
