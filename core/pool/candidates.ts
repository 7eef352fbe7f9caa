import type { ModelId } from "../../protocol/ids.ts";
import type { ApiError } from "../api-error.ts";
import { LONGEST_QUEUE_WAIT_MS, WAIT_FOR_LOAD_MS } from "../limits.ts";
import type { Breakers } from "./breakers.ts";
import type { Connection } from "./connection.ts";
import { contextNeedOf, contextOf, type ContextNeed } from "./context-need.ts";
import { noMachine } from "./exhaustion.ts";
import { isTooSlow } from "./first-token.ts";
import { failsOpen, routableGate, type Asker } from "./gate.ts";
import type { ExpectedLoad } from "./loads.ts";
import { isForOwnMachines, noOwnMachine, ownMachines } from "./owner-route.ts";
import { isWritten, type PoolRequest } from "./request.ts";
import { pick } from "./schedule.ts";
import type { Seats } from "./seats.ts";
import { ttftLimitMs } from "./service-level.ts";
import type { PoolSettings } from "./settings.ts";

/**
 * Which machines a request may go to: the best one now, whether to wait for another, and the refusal if there is none. All of
 * these use the same gate.
 */

/** What this needs to know of the pool. */
export interface CandidatesView {
  readonly model: ModelId;
  /** To be walked through once. */
  connections(): Iterable<Connection>;
  /** The same machines, as they are found without a look at each. */
  readonly seats: Pick<Seats, "pick" | "contexts" | "contextFor" | "withRoomFor">;
  /** A machine that was here a moment ago may come back before this time (ms since the epoch). */
  expectingMachinesUntil(): number;
  settings(): PoolSettings;
  /** The machine on its way here that is ready first. */
  nextLoad(now: number): ExpectedLoad | null;
}

/** A request that waits for a load waits this many times as long as the load should take, or as one for a slot if more. */
const LATE_LOAD = 1.5;

export class Candidates {
  readonly #pool: CandidatesView;
  readonly #breakers: Breakers;

  constructor(pool: CandidatesView, breakers: Breakers) {
    this.#pool = pool;
    this.#breakers = breakers;
  }

  /**
   * The best machine with a free slot, of the owner's own ones first if the request wants those.
   * @param mayWait whether it can wait for a machine that it fits on, and need not try its luck now.
   */
  best(
    request: PoolRequest,
    now: number,
    mayWait: boolean,
  ): { readonly connection: Connection; readonly isOwn: boolean } | null {
    const own = this.#pickOwn(request, now);
    if (own !== null) return { connection: own, isOwn: true };
    if (isForOwnMachines(request.spec.owner)) return null;
    const connection = this.#pickFitting(request, now, mayWait);
    return connection === null ? null : { connection, isOwn: false };
  }

  /**
   * The least context of a machine that a public request is sent to now, in tokens; 0 if it may go to any. A request for which
   * `best` has found nothing has woken all machines, and shows that none with this much has room.
   */
  leastContext(request: PoolRequest, now: number, mayWait: boolean): number {
    const need = contextNeedOf(request, this.#pool.seats.contexts.smallest);
    const tokens = need === null ? 0 : this.#leastTokens(need, now, mayWait);
    // As machines have it, so that two requests for the same machines are seen to be alike.
    return tokens === 0 ? 0 : this.#pool.seats.contextFor(tokens);
  }

  /** The refusal if even the best machine would be too slow; null if not, or if that is not measured. */
  tooSlowFor(request: PoolRequest, now: number): ApiError | null {
    const { spec, promptTokensEstimate } = request;
    // An owner's request may be as slow as the owner's machine is. One that is too long for the model is refused at
    // once by the engine, with a better reason.
    if (spec.owner !== null || promptTokensEstimate > spec.contextLength || !isWritten(spec)) return null;
    const { model } = this.#pool;
    const limitMs = ttftLimitMs(this.#pool.settings().flags, promptTokensEstimate);
    const tokensOn = (connection: Connection): number =>
      promptTokensEstimate - connection.cachedTokensOf(spec, promptTokensEstimate);
    if (!isTooSlow(this.#notTooSmallFor(request), model, tokensOn, limitMs, now)) return null;
    const message =
      `the first token for about ${promptTokensEstimate} tokens of prompt would take longer than ` +
      `${Math.round(limitMs / 1000)} s on every machine that serves "${model}"; try again, or send a shorter prompt`;
    return { code: "ttft_too_slow", message };
  }

  /** How long the request may wait from now on, in ms; null if there is nothing to wait for. */
  waitMs(request: PoolRequest, now: number): number | null {
    const { owner, deadlineAt } = request.spec;
    if (owner?.otherwise === "decline") return null;
    const waitMs = this.#pool.settings().flags.queue_wait_ms;
    if (this.#mayHaveRoom(request, now)) return waitMs;
    const load = isForOwnMachines(owner) ? null : this.#pool.nextLoad(now);
    // A load whose end is only estimated is no reason to let a client wait.
    if (load === null || !load.isCertain || waitMs === 0) return null;
    const { readyInMs } = load;
    if (readyInMs > Math.max(waitMs, WAIT_FOR_LOAD_MS) || now + readyInMs >= deadlineAt) return null;
    return Math.min(LONGEST_QUEUE_WAIT_MS, Math.max(waitMs, LATE_LOAD * readyInMs));
  }

  /** The refusal if no machine can take the request. */
  noneFor({ spec: { model, owner } }: PoolRequest, now: number): ApiError {
    if (owner === null || !isForOwnMachines(owner)) return noMachine(model, this.#pool.settings(), now);
    return noOwnMachine(owner, model, this.#pool.connections(), now);
  }

  /** The refusal if the request's time to wait is over. */
  noneInTimeFor(request: PoolRequest, now: number): ApiError {
    const { model } = this.#pool;
    if (isForOwnMachines(request.spec.owner)) return this.noneFor(request, now);
    const asker = this.#asker(now);
    for (const connection of this.#pool.connections()) {
      if (routableGate(connection, model, now, asker) !== null) continue;
      const waitedS = this.#pool.settings().flags.queue_wait_ms / 1000;
      const need = contextNeedOf(request, this.#pool.seats.contexts.smallest);
      const ofThose = need === null ? "" : ` and may take a prompt of about ${need.likely} tokens`;
      const message = `all machines that serve "${model}"${ofThose} stayed busy for ${waitedS} s`;
      return { code: "queue_timeout", message };
    }
    return this.noneFor(request, now);
  }

  /** A machine is here but busy, or was here a moment ago. */
  #mayHaveRoom(request: PoolRequest, now: number): boolean {
    if (now < this.#pool.expectingMachinesUntil()) return true;
    const asker = this.#asker(now);
    for (const connection of this.#pool.connections()) {
      if (request.tried.has(connection.identity.machineId)) continue;
      if (isRoutable(connection, request, asker, now)) return true;
    }
    return false;
  }

  /**
   * A machine that might be too small gets the request only if none with more room can have it: at once where that is all
   * there is, after the time that requests may wait where it probably does not fit, and never, where it certainly does not,
   * while a larger machine serves. If it fits on none, one that takes most says so, and how long it is.
   */
  #pickFitting(request: PoolRequest, now: number, mayWait: boolean): Connection | null {
    const { smallest, largest } = this.#pool.seats.contexts;
    const need = contextNeedOf(request, smallest);
    if (need === null) {
      const any = this.#pickWith(request, 0, now);
      // A smaller one may just have been woken for it.
      if (any === null || contextNeedOf(request, contextOf(any)) === null) return any;
      return this.#pickFitting(request, now, mayWait);
    }
    const best = need.roomy <= largest ? this.#pickWith(request, need.roomy, now) : null;
    if (best !== null) return best;
    const least = this.#leastTokens(need, now, mayWait);
    if (least > 0) return this.#pickWith(request, least, now);
    return this.#pickWith(request, largest, now) ?? this.#pickWith(request, 0, now);
  }

  /** With less than this it is not sent to a machine now; 0 if it may go to any. */
  #leastTokens({ likely, least }: ContextNeed, now: number, mayWait: boolean): number {
    const asker = this.#asker(now);
    if (mayWait && this.#isServed(likely, asker, now)) return likely;
    return this.#isServed(least, asker, now) ? least : 0;
  }

  #pickWith(
    { spec, promptTokensEstimate, tried }: PoolRequest,
    leastContext: number,
    now: number,
  ): Connection | null {
    const wanted = { spec, promptTokensEstimate, tried, leastContext };
    return (
      this.#pool.seats.pick(wanted, now, "public") ??
      (this.#failsOpen(now) ? this.#pool.seats.pick(wanted, now, "last_resort") : null)
    );
  }

  /** Whether requests are routed to a machine on which they may take up so much, busy or not. */
  #isServed(tokens: number, asker: Asker, now: number): boolean {
    for (const connection of this.#pool.seats.withRoomFor(tokens)) {
      if (routableGate(connection, this.#pool.model, now, asker) === null) return true;
    }
    return false;
  }

  /** All machines but those on which the request certainly does not fit. */
  #notTooSmallFor(request: PoolRequest): Iterable<Connection> {
    const need = contextNeedOf(request, this.#pool.seats.contexts.smallest);
    return need === null ? this.#pool.connections() : this.#pool.seats.withRoomFor(need.least);
  }

  /** Owners have few machines: the first that fits is taken, and none is waited for. */
  #pickOwn(request: PoolRequest, now: number): Connection | null {
    const { spec, promptTokensEstimate, tried } = request;
    const { owner, model } = spec;
    if (owner === null) return null;
    const need =
      model === this.#pool.model ? contextNeedOf(request, this.#pool.seats.contexts.smallest) : null;
    const isBetterElsewhere =
      need !== null && owner.otherwise === "public" && this.#isServed(need.least, this.#asker(now), now);
    const contexts = need === null ? [0] : [need.roomy, need.likely, need.least];
    if (need !== null && !isBetterElsewhere) contexts.push(0);
    for (const leastContext of contexts) {
      const wanted = { spec, promptTokensEstimate, tried, leastContext };
      const own = pick(ownMachines(owner, this.#pool.connections()), wanted, now, "owner");
      if (own !== null) return own;
    }
    return null;
  }

  /** How a public request asks for machines now. */
  #asker(now: number): Asker {
    return this.#failsOpen(now) ? "last_resort" : "public";
  }

  /** Breakers never close a whole pool. */
  #failsOpen(now: number): boolean {
    return !this.#breakers.isEmpty && failsOpen(this.#pool.connections(), this.#pool.model, now);
  }
}

function isRoutable(
  connection: Connection,
  { spec: { model, owner } }: PoolRequest,
  asker: Asker,
  now: number,
): boolean {
  const isOwn = owner?.machines.has(connection.identity.machineId) === true;
  if (isOwn && routableGate(connection, model, now, "owner") === null) return true;
  return !isForOwnMachines(owner) && routableGate(connection, model, now, asker) === null;
}
