import { encodeDownstream, encodeInferenceRequest } from "../../protocol/codec.ts";
import type { ModelId } from "../../protocol/ids.ts";
import type { Attempt } from "./attempt.ts";
import type { Connection } from "./connection.ts";
import { acceptTimeoutMs } from "./deadlines.ts";
import { flushIntervalMs } from "./flush-interval.ts";
import { isVisit } from "./gate.ts";
import type { PoolRequest } from "./request.ts";
import { WholeEvents } from "./whole-events.ts";

/** The attempts that run on machines now, by stream and by key. Each holds a slot of its machine until it is freed. */
export class Attempts {
  readonly #model: ModelId;
  readonly #open = new Set<Attempt>();
  readonly #slotsByKey = new Map<string, number>();

  /** @param model the pool's. */
  constructor(model: ModelId) {
    this.#model = model;
  }

  get size(): number {
    return this.#open.size;
  }

  /** How long machines should collect bytes for one frame while so many run, in milliseconds. */
  get flushMs(): number {
    return flushIntervalMs(this.#open.size);
  }

  all(): Iterable<Attempt> {
    return this.#open;
  }

  /** Slots that requests of an API key hold. */
  slotsOf(keyId: string): number {
    return this.#slotsByKey.get(keyId) ?? 0;
  }

  /** The attempt on this stream; undefined if there is none. */
  of(connection: Connection, stream: number, requestId: string): Attempt | undefined {
    const attempt = connection.attempts.get(stream);
    return attempt?.requestId === requestId ? attempt : undefined;
  }

  /** Takes a slot of the machine and sends the request there. */
  send(request: PoolRequest, connection: Connection, isOwn: boolean, now: number): void {
    const { spec, body } = request;
    if (body === null) throw new Error("a request that has content is sent again");
    const { model } = spec;
    const stream = connection.openStream();
    const attempt: Attempt = {
      connection,
      stream,
      requestId: spec.requestId,
      keyId: spec.keyId,
      model,
      acceptWithinMs: acceptTimeoutMs(connection, model),
      request,
      phase: "sent",
      since: now,
      sentAt: now,
      firstByteAt: now,
      streamsAtFirstByte: 1,
      events: new WholeEvents(),
      paused: false,
    };
    // Before the machine hears of it, so that no public request follows it there (H21).
    if (model !== this.#model && isVisit(connection, model)) connection.visitedModel = model;
    connection.begin(attempt);
    this.#open.add(attempt);
    this.#slotsByKey.set(spec.keyId, this.slotsOf(spec.keyId) + 1);
    request.attempt = attempt;
    request.attempts += 1;
    request.sentAt ??= now;
    request.machine = {
      machineId: connection.identity.machineId,
      chip: connection.registration?.chip ?? "",
    };
    const head = {
      request_id: spec.requestId,
      stream,
      endpoint: spec.endpoint,
      model_id: model,
      deadline_ms: Math.max(1, Math.floor(spec.deadlineAt - now)),
      owner_bypass: isOwn,
      flush_ms: this.flushMs,
    };
    connection.socket.send(encodeInferenceRequest(head, body));
  }

  /** Tells the machine to stop. The slot stays taken until it has answered, so that it is not given away twice. */
  cancel(attempt: Attempt, now: number): void {
    attempt.request = null;
    if (attempt.phase === "cancelling") return;
    attempt.phase = "cancelling";
    attempt.since = now;
    attempt.connection.socket.send(
      encodeDownstream({ type: "cancel", request_id: attempt.requestId, stream: attempt.stream }),
    );
  }

  /** Frees the slot: the machine has sent its final message, or none is awaited any more. */
  free(attempt: Attempt): void {
    if (!this.#open.delete(attempt)) return;
    attempt.connection.end(attempt);
    const left = this.slotsOf(attempt.keyId) - 1;
    if (left > 0) this.#slotsByKey.set(attempt.keyId, left);
    else this.#slotsByKey.delete(attempt.keyId);
  }
}
