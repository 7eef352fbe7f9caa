import type { MachineId } from "../../protocol/ids.ts";
import type { InferenceComplete, InferenceError } from "../../protocol/upstream.ts";
import type { RefusalCount } from "../edge-verdicts.ts";
import { ACCEPT_TIMEOUT_MS, MAX_ATTEMPTS, REFUSAL_PAUSE_MS, SUPPLY_ANSWER_MS } from "../limits.ts";
import { Accounts } from "./accounts.ts";
import type { Attempt } from "./attempt.ts";
import { Attempts } from "./attempts.ts";
import { Breakers, type Breaker } from "./breakers.ts";
import { Candidates, type CandidatesView } from "./candidates.ts";
import type { Connection } from "./connection.ts";
import { attemptDeadline } from "./deadlines.ts";
import { collect, comment, deliverEnd, forward, goOn, mayComment } from "./delivery.ts";
import { shed, SupplyQuestion } from "./exhaustion.ts";
import {
  classifyProviderError,
  DEADLINE_EXCEEDED,
  providerFault,
  SOCKET_LOST,
  type Failure,
} from "./failure.ts";
import type { Ledger } from "./ledger.ts";
import { LineLimit } from "./line-limit.ts";
import { Line } from "./line.ts";
import { OpenRequests } from "./open-requests.ts";
import type { RequestOutcome } from "./outcome.ts";
import { isForOwnMachines, mayBeDeclined } from "./owner-route.ts";
import { plausible } from "./plausible.ts";
import { Pressure } from "./pressure.ts";
import { RefusalAudit } from "./refusal-audit.ts";
import { Refusals, type Crowd, type RefusalsView } from "./refusals.ts";
import { newRequest, type Answer, type NewRequest, type PoolRequest } from "./request.ts";
import { NO_TOKENS, tokensOf } from "./usage.ts";

/**
 * Moves requests through a pool. Each is waiting, attempted on one machine, or settled, and ends in exactly one outcome. Until
 * the first content byte has gone to the client, a failed attempt is repeated on another machine; afterwards the stream ends
 * with an error event.
 */

/** What dispatching needs from the pool. */
export interface PoolView extends CandidatesView, RefusalsView {
  /** Whether any machine is known here, connected or not. */
  hasSeenMachines(): boolean;
  /** Asks the fleet for the supply; `reconsider` is called when it has come. */
  askSupply(): void;
  /** A request has ended, once for each. */
  ended(outcome: RequestOutcome): void;
}

export class Dispatch {
  readonly #pool: PoolView;
  readonly #accounts: Accounts;
  readonly #requests: OpenRequests;
  readonly #attempts: Attempts;
  readonly #line: Line;
  readonly #lineLimit = new LineLimit();
  readonly #candidates: Candidates;
  readonly #supplyQuestion = new SupplyQuestion();
  readonly #pressure = new Pressure();
  readonly #breakers: Breakers;
  /** Frames and messages that belonged to nothing here, by kind. */
  readonly ignored = { records: 0, messages: 0 };

  constructor(pool: PoolView, ledger: Ledger) {
    this.#pool = pool;
    this.#attempts = new Attempts(pool.model);
    this.#breakers = new Breakers(() => pool.connections());
    this.#line = new Line((keyId) => this.#attempts.slotsOf(keyId));
    this.#candidates = new Candidates(pool, this.#breakers);
    this.#accounts = new Accounts(ledger, this.#pressure, (outcome) => pool.ended(outcome));
    const refusals = new Refusals(pool, this.#pressure);
    const audit = new RefusalAudit(pool, ledger.totals);
    this.#requests = new OpenRequests(this.#line, this.#accounts, refusals, audit, () => this.#crowd);
  }

  get isIdle(): boolean {
    return this.#requests.size === 0 && this.#attempts.size === 0;
  }

  /** How long a request held its slot on average within the last minute, where the model was loaded; null if none has. */
  meanServiceMs(now: number): number | null {
    return this.#pressure.meanServiceMs(now);
  }

  /** How soon first tokens came of late, in ms; null if there was none. */
  medianFirstTokenMs(now: number): number | null {
    return this.#accounts.firstTokens.median(now);
  }

  get inFlight(): number {
    return this.#requests.size - this.#line.length;
  }

  get queued(): number {
    return this.#line.length;
  }

  /** How long machines should collect bytes for one frame now, in milliseconds. */
  get flushMs(): number {
    return this.#attempts.flushMs;
  }

  get #crowd(): Crowd {
    return { slotsTaken: this.#attempts.size, waiting: this.#line.length };
  }

  /** For a new socket of the machine. */
  breakerOf(machineId: MachineId): Breaker | null {
    return this.#breakers.of(machineId);
  }

  /** Accepts a request. Its answer is used exactly once, now or later. */
  submit(spec: NewRequest, answer: Answer, now: number): PoolRequest {
    // The Worker sends a request again under the same id if its first call broke (H18): the older one is dead.
    const earlier = this.#requests.get(spec.requestId);
    if (earlier !== undefined) this.abandon(earlier, now);
    const request = newRequest(spec, answer, now);
    const tooMuch = this.#requests.add(request);
    // What an owner has the machine load instead says nothing of how much the pool's model is wanted.
    const isDemand = spec.model === this.#pool.model;
    const arrived = (): void => {
      // The Worker's second call for one request is no second arrival.
      if (earlier === undefined) this.#accounts.arrived(request.promptTokensEstimate, isDemand, now);
    };
    const isProbe = mayBeDeclined(spec.owner);
    if (!isProbe) arrived();
    // By the model asked for: an owner's machine may leave the pool's for it.
    const isShed = this.#pool.settings().flags.shed_models.includes(spec.model);
    const refusal = isShed ? shed(spec.model) : (tooMuch ?? this.#candidates.tooSlowFor(request, now));
    if (refusal !== null) {
      // This is no declining: the client hears it.
      if (isProbe) arrived();
      this.#requests.fail(request, refusal, now);
      return request;
    }
    this.drain(now);
    if (this.#dispatch(request, now)) {
      if (isProbe) arrived();
      this.#lineLimit.taken(this.#pressure.meanHoldMs(now), now);
    } else this.#lineUpOrRefuse(request, now);
    return request;
  }

  /** Requests that the edge has refused by a verdict of this pool: they count as if they had come here (F8). */
  refusedAtEdge(counts: readonly RefusalCount[], now: number): void {
    this.#accounts.refusedAtEdge(counts, now);
  }

  /** The client has gone: stop the machine and forget the request. */
  abandon(request: PoolRequest, now: number): void {
    if (this.#requests.get(request.spec.requestId) !== request) return;
    this.#cancelAttempt(request, now);
    this.#requests.settle(request, "cancelled", NO_TOKENS, now);
  }

  /** The client has caught up with what was written to it. */
  resume(request: PoolRequest, now: number): void {
    if (request.attempt !== null) goOn(request.attempt, now);
  }

  accepted(connection: Connection, stream: number, requestId: string, now: number): void {
    const attempt = this.#attempts.of(connection, stream, requestId);
    if (attempt?.phase === "cancelling") return;
    if (attempt?.phase !== "sent") {
      this.ignored.messages += 1;
      return;
    }
    attempt.phase = "accepted";
    attempt.since = now;
  }

  /** Bytes of one stream, forwarded untouched. Bytes of a stream that is not open are counted and dropped. */
  bytes(connection: Connection, stream: number, bytes: Uint8Array, now: number): void {
    const attempt = connection.attempts.get(stream);
    if (attempt === undefined) {
      this.ignored.records += 1;
      return;
    }
    const { request } = attempt;
    if (request === null || bytes.byteLength === 0) return;
    if (attempt.phase === "sent") {
      this.#cancelAttempt(request, now);
      this.#retryOrFail(request, providerFault("the machine sent bytes before it accepted"), connection, now);
      return;
    }
    if (attempt.phase !== "streaming") {
      attempt.phase = "streaming";
      attempt.firstByteAt = now;
      attempt.streamsAtFirstByte = connection.attempts.size;
    }
    attempt.since = now;
    const failure = request.spec.stream ? forward(request, attempt, bytes, now) : collect(request, bytes);
    if (request.streamed) {
      this.#breakers.convict(request, now);
      this.#requests.dropBody(request);
    }
    if (failure === null) return;
    this.#cancelAttempt(request, now);
    this.#retryOrFail(request, failure, connection, now);
  }

  complete(connection: Connection, said: InferenceComplete, now: number): void {
    const attempt = this.#attempts.of(connection, said.stream, said.request_id);
    if (attempt === undefined) {
      this.ignored.messages += 1;
      return;
    }
    this.#attempts.free(attempt);
    // Not as soon as it accepts: one that accepts first and then refuses would be asked again as fast as it can answer.
    connection.refusalsInARow = 0;
    const { request } = attempt;
    if (request !== null) {
      const failure = deliverEnd(request, attempt, now);
      if (failure !== null) this.#retryOrFail(request, failure, connection, now);
      else {
        this.#breakers.convict(request, now);
        const message = plausible(said, request.spec);
        const isOwnModel = attempt.model === this.#pool.model;
        if (isOwnModel) this.#breakers.succeeded(connection);
        const { flags } = this.#pool.settings();
        this.#accounts.answered(request, attempt, message, isOwnModel, flags, now);
        this.#requests.settle(request, "ok", tokensOf(message), now);
      }
    }
    this.#slotFreed(attempt, now);
  }

  failed(connection: Connection, message: InferenceError, now: number): void {
    const attempt = this.#attempts.of(connection, message.stream, message.request_id);
    if (attempt === undefined) {
      this.ignored.messages += 1;
      return;
    }
    this.#attempts.free(attempt);
    if (message.class === "capacity") {
      connection.refusedUntil = now + REFUSAL_PAUSE_MS;
      connection.refusalsInARow += 1;
    }
    // It has not left its model for the owner, so it says nothing of a return.
    if (attempt.phase === "sent" && connection.registration?.accepting === true) connection.endVisit();
    const { request } = attempt;
    if (request !== null)
      this.#retryOrFail(request, classifyProviderError(message, request.streamed), connection, now);
    if (message.class === "capacity") this.drain(now);
    else this.#slotFreed(attempt, now);
  }

  /** The socket is gone, and with it everything that ran on it. */
  connectionLost(connection: Connection, now: number): void {
    const lost = [...connection.attempts.values()];
    for (const attempt of lost) this.#attempts.free(attempt);
    for (const { request } of lost) {
      if (request !== null) this.#retryOrFail(request, SOCKET_LOST, connection, now);
    }
    this.drain(now);
  }

  /** Sends waiting requests to machines that have room now. */
  drain(now: number): void {
    this.#line.offer(
      (request) => this.#dispatch(request, now),
      (request) => this.#candidates.leastContext(request, now, mayWait(request, now)),
      now,
    );
  }

  /** Circumstances have changed: refuses waiting requests that have nothing to wait for any more. */
  reconsider(now: number): void {
    this.drain(now);
    const stranded = this.#line.matching((request) => this.#candidates.waitMs(request, now) === null);
    for (const request of stranded) {
      this.#requests.giveUp(request, this.#candidates.noneFor(request, now), now);
    }
  }

  /** Looks at every deadline; the shell calls it a few times a second while requests are open. */
  tick(now: number): void {
    for (const attempt of this.#attempts.all()) {
      const { at, failure } = attemptDeadline(attempt, this.#line.length > 0);
      if (now < at) continue;
      const { request } = attempt;
      this.#attempts.cancel(attempt, now);
      if (request === null || failure === null) this.#attempts.free(attempt);
      else this.#retryOrFail(request, failure, attempt.connection, now);
    }
    for (const request of this.#requests.all()) {
      if (now < request.spec.deadlineAt) continue;
      this.#cancelAttempt(request, now);
      this.#requests.fail(request, DEADLINE_EXCEEDED.error, now);
    }
    // Before anybody is told that there is no room: there may be some again.
    this.drain(now);
    for (const request of this.#requests.all()) {
      if (request.waitsUntil !== null && request.attempt === null && now >= request.waitsUntil) {
        this.#requests.giveUp(request, this.#candidates.noneInTimeFor(request, now), now);
      } else if (now >= request.nextCommentAt && mayComment(request, now)) {
        comment(request, now);
      }
    }
  }

  /**
   * Sends the request to the best machine with room, if there is one.
   * @param isPatient whether it need not go to a machine on which it may not fit.
   */
  #dispatch(request: PoolRequest, now: number, isPatient: boolean = mayWait(request, now)): boolean {
    const best = this.#candidates.best(request, now, isPatient);
    if (best !== null) this.#attempts.send(request, best.connection, best.isOwn, now);
    return best !== null;
  }

  #lineUpOrRefuse(request: PoolRequest, now: number): void {
    const waitMs = this.#candidates.waitMs(request, now);
    if (waitMs === null) this.#refuseOrAsk(request, now);
    else this.#lineUp(request, waitMs, now);
  }

  /** A full line takes a newcomer in only for one of a key that has more than its share. */
  #lineUp(request: PoolRequest, waitMs: number, now: number): void {
    const { queue_max } = this.#pool.settings().flags;
    const { slotsTaken, waiting } = this.#crowd;
    if (slotsTaken === 0) this.#lineLimit.reset();
    const meanHoldMs = this.#pressure.meanHoldMs(now);
    const isFull = waiting >= this.#lineLimit.places({ waitMs, slotsTaken, meanHoldMs }, queue_max);
    const leaving = isFull ? (this.#line.replacedBy(request) ?? request) : null;
    if (leaving !== request) this.#line.add(request, now + waitMs);
    if (leaving === null || (leaving === request && this.#dispatch(request, now, false))) return;
    const message = `as many requests wait for "${this.#pool.model}" already as get their turn soon; try again shortly`;
    this.#requests.fail(leaving, { code: "queue_full", message }, now);
  }

  /** A request has given its slot back: whoever waits gets it, and the line is as long as such slots want it. */
  #slotFreed({ sentAt, acceptWithinMs }: Attempt, now: number): void {
    this.#pressure.freed(now - sentAt, acceptWithinMs > ACCEPT_TIMEOUT_MS, now);
    const { waiting } = this.#crowd;
    this.drain(now);
    const isWanted = this.#crowd.waiting < waiting;
    const meanHoldMs = this.#pressure.meanHoldMs(now);
    const queueMax = this.#pool.settings().flags.queue_max;
    this.#lineLimit.freed({ waiting: isWanted ? waiting : 0, meanHoldMs, queueMax }, now);
  }

  /** No machine could take it. Whether any ever will, the fleet knows; a pool that has no idea asks once (H23). */
  #refuseOrAsk(request: PoolRequest, now: number): void {
    const { flags, supply } = this.#pool.settings();
    const isAsking =
      !isForOwnMachines(request.spec.owner) &&
      flags.pool_exhausted_429 === "on" &&
      !this.#pool.hasSeenMachines() &&
      this.#line.length < flags.queue_max &&
      this.#supplyQuestion.isOpen(supply, now);
    if (!isAsking) {
      this.#requests.giveUp(request, this.#candidates.noneFor(request, now), now);
      return;
    }
    if (this.#supplyQuestion.ask(now)) this.#pool.askSupply();
    this.#line.add(request, now + SUPPLY_ANSWER_MS);
  }

  #retryOrFail(request: PoolRequest, failure: Failure, connection: Connection, now: number): void {
    request.attempt = null;
    request.lastFailure = failure.error;
    if (failure.blamesMachine) {
      request.tried.add(connection.identity.machineId);
      // Breakers are about the pool's own model.
      if (request.spec.model === this.#pool.model) this.#breakers.blame(request, connection, now);
    }
    if (!failure.isRefusal) {
      request.failures += 1;
      request.waitsUntil = null;
    }
    request.collected = [];
    request.collectedBytes = 0;
    if (request.streamed || !failure.retriable) {
      this.#requests.fail(request, failure.error, now);
    } else if (request.failures >= MAX_ATTEMPTS) {
      this.#requests.giveUp(request, this.#candidates.noneFor(request, now), now);
    } else if (!this.#dispatch(request, now)) {
      const waitMs = this.#candidates.waitMs(request, now);
      if (waitMs === null) this.#requests.giveUp(request, this.#candidates.noneFor(request, now), now);
      else this.#line.add(request, request.waitsUntil ?? now + waitMs);
    }
  }

  #cancelAttempt(request: PoolRequest, now: number): void {
    const { attempt } = request;
    request.attempt = null;
    if (attempt !== null) this.#attempts.cancel(attempt, now);
  }
}

/** Whether its time to wait is not over. */
function mayWait({ waitsUntil }: PoolRequest, now: number): boolean {
  return waitsUntil === null || now < waitsUntil;
}
