import { decodeUpstream } from "../../protocol/codec.ts";
import type { ModelId } from "../../protocol/ids.ts";
import { decodeRecords } from "../../protocol/records.ts";
import type { Heartbeat, Offer, Upstream } from "../../protocol/upstream.ts";
import { MAX_CHANGES_PER_MINUTE, REFUSALS_BELIEVED } from "../limits.ts";
import { MinuteRate } from "../minute-rate.ts";
import type { Assignments, AssignModelStatus, HeldAssignment } from "./assignments.ts";
import type { Attestation } from "./attestation.ts";
import type { Connection, Registration } from "./connection.ts";
import type { Dispatch } from "./dispatch.ts";
import type { Entrance } from "./entrance.ts";
import type { Members } from "./members.ts";
import type { PoolNews } from "./ports.ts";
import { withHeartbeat } from "./registration.ts";

/**
 * What machines send: their frames are decoded, and what they say goes to the part of the pool that it is about.
 * Whatever is wrong with a frame harms nobody but its sender.
 */

/** The parts of the pool that messages are about. */
export interface PoolParts {
  readonly model: ModelId;
  readonly members: Members;
  readonly entrance: Entrance;
  readonly assignments: Assignments;
  readonly dispatch: Dispatch;
  readonly attestation: Attestation;
  tellFleet(news: PoolNews): void;
}

export class Inbox {
  readonly #pool: PoolParts;
  /** Of what machines hold. */
  readonly #changes = new MinuteRate(MAX_CHANGES_PER_MINUTE);
  /** Messages of an unknown type, and answers to questions that were never asked. */
  readonly ignored = { unknownTypes: 0, messages: 0 };

  constructor(pool: PoolParts) {
    this.#pool = pool;
  }

  /** A text frame. */
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
        this.ignored.unknownTypes += 1;
        return;
      case "malformed":
        this.#reject(connection, decoded.error.detail, now);
        return;
      case "too_large":
        this.#reject(connection, `a text frame of ${decoded.error.bytes} bytes is too large`, now);
    }
  }

  /** A binary frame: records of response bytes. */
  receiveFrame(connection: Connection, frame: ArrayBuffer, now: number): void {
    if (connection.closed) return;
    connection.lastMessageAt = now;
    if (connection.registration === null) {
      this.#reject(connection, "the first frame must be register", now);
      return;
    }
    const records = decodeRecords(frame);
    if (records === null) {
      this.#reject(connection, "the lengths of a binary frame do not add up", now);
      return;
    }
    for (const { stream, bytes } of records) this.#pool.dispatch.bytes(connection, stream, bytes, now);
  }

  #onMessage(connection: Connection, message: Upstream, now: number): void {
    const { attestation, entrance, dispatch } = this.#pool;
    if (message.type === "register") {
      entrance.register(connection, message, now);
      return;
    }
    if (connection.registration === null && connection.admitting === null) {
      this.#reject(connection, "the first frame must be register", now);
      return;
    }
    switch (message.type) {
      case "offer":
        this.#onOffer(connection, message, now);
        return;
      case "heartbeat":
        this.#onHeartbeat(connection, message, now);
        return;
      case "assign_model_status":
        this.#onStatus(connection, message, now);
        return;
      case "inference_accepted":
        dispatch.accepted(connection, message.stream, message.request_id, now);
        return;
      case "inference_complete":
        dispatch.complete(connection, message, now);
        return;
      case "inference_error":
        dispatch.failed(connection, message, now);
        return;
      case "attestation_response":
        if (!attestation.answered(connection, message, now)) this.ignored.messages += 1;
    }
  }

  #onHeartbeat(connection: Connection, heartbeat: Heartbeat, now: number): void {
    const { model } = this.#pool;
    const { admitting, registration } = connection;
    if (admitting !== null) {
      connection.admitting = {
        ...admitting,
        registration: withHeartbeat(admitting.registration, heartbeat, model),
      };
    }
    if (registration === null) return;
    const hasChanged = holdsOther(registration, heartbeat);
    if (hasChanged && this.#changes.admit(connection.identity.machineId, now) !== null) {
      this.#reject(connection, "what it holds changes more often than any machine can load models", now);
      return;
    }
    connection.registration = withHeartbeat(registration, heartbeat, model);
    // Otherwise a machine that sends a heartbeat after each refusal would be asked again as fast as it can answer.
    if (connection.refusalsInARow < REFUSALS_BELIEVED) connection.refusedUntil = 0;
    connection.save();
    if (heartbeat.accepting) {
      connection.endVisit();
      // While it takes no work it is stopping or away for its owner: what it holds then says nothing of its order.
      const { machineId } = connection.identity;
      this.#pool.assignments.observe(machineId, heartbeat.assignment, heartbeat.loaded_models, now);
    }
    this.#noteHeld(connection, registration.held, heartbeat.assignment);
    this.#pool.attestation.askIfDue(connection, now);
    this.#pool.dispatch.drain(now);
  }

  #onOffer(connection: Connection, offer: Offer, now: number): void {
    if (connection.registration === null) this.ignored.messages += 1;
    else if (this.#changes.admit(connection.identity.machineId, now) !== null) {
      this.#reject(connection, "what it offers changes more often than any machine gets models", now);
    } else this.#pool.entrance.offer(connection, offer, now);
  }

  #onStatus(connection: Connection, message: AssignModelStatus, now: number): void {
    const { assignments, dispatch } = this.#pool;
    if (connection.registration === null) {
      assignments.ignored += 1;
      return;
    }
    const isApplied = assignments.status(connection.identity.machineId, message, now);
    if (!isApplied) return;
    if (message.status === "failed") dispatch.reconsider(now);
    else dispatch.drain(now);
  }

  /** The fleet learns when a machine has heard of an order that no pool waits for, such as its release. */
  #noteHeld(connection: Connection, before: HeldAssignment, held: HeldAssignment): void {
    if (held === null || (before?.epoch === held.epoch && before.model_id === held.model_id)) return;
    this.#pool.tellFleet({ kind: "holds", machineId: connection.identity.machineId, held });
  }

  #reject(connection: Connection, detail: string, now: number): void {
    this.#pool.members.close(connection, "badMessage", now, detail);
  }
}

/** Other models, or another assignment: each such change may cost a write, and a word to the fleet. */
function holdsOther({ loadedModels, held }: Registration, said: Heartbeat): boolean {
  return (
    held?.epoch !== said.assignment?.epoch ||
    held?.model_id !== said.assignment?.model_id ||
    loadedModels.join(" ") !== said.loaded_models.join(" ")
  );
}
