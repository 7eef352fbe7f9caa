import type { ApiError } from "../api-error.ts";
import type { Accounts } from "./accounts.ts";
import type { Line } from "./line.ts";
import { LongBodies } from "./long-bodies.ts";
import { DECLINED, isForOwnMachines } from "./owner-route.ts";
import type { RefusalAudit } from "./refusal-audit.ts";
import type { Crowd, Refusals } from "./refusals.ts";
import type { PoolRequest } from "./request.ts";
import { NO_TOKENS, type Tokens } from "./usage.ts";

/**
 * The open requests of a pool and the ways in which they end: answered, failed, declined, or abandoned by the client. Each ends
 * once, and is counted before its client gets the result.
 */
export class OpenRequests {
  readonly #line: Line;
  readonly #accounts: Accounts;
  readonly #refusals: Refusals;
  readonly #audit: RefusalAudit;
  readonly #crowd: () => Crowd;
  readonly #byId = new Map<string, PoolRequest>();
  readonly #longBodies = new LongBodies();

  constructor(line: Line, accounts: Accounts, refusals: Refusals, audit: RefusalAudit, crowd: () => Crowd) {
    this.#line = line;
    this.#accounts = accounts;
    this.#refusals = refusals;
    this.#audit = audit;
    this.#crowd = crowd;
  }

  get size(): number {
    return this.#byId.size;
  }

  all(): Iterable<PoolRequest> {
    return this.#byId.values();
  }

  get(requestId: string): PoolRequest | undefined {
    return this.#byId.get(requestId);
  }

  /** Takes a request in until it ends. @returns why there is no room for it, if there is none. */
  add(request: PoolRequest): ApiError | null {
    this.#byId.set(request.spec.requestId, request);
    return this.#longBodies.add(request);
  }

  /** No machine is sent the request again: content has gone out, or it has ended. */
  dropBody(request: PoolRequest): void {
    if (request.body === null) return;
    request.body = null;
    this.#longBodies.remove(request);
  }

  /** @param outcome null if it is counted elsewhere. */
  settle(request: PoolRequest, outcome: string | null, tokens: Tokens, now: number): void {
    request.attempt = null;
    this.#byId.delete(request.spec.requestId);
    this.dropBody(request);
    this.#line.remove(request);
    if (outcome !== null) this.#accounts.ended(request, outcome, tokens, now);
  }

  /** Counted first, so that no refusal leaves the pool unseen (F8). */
  fail(request: PoolRequest, error: ApiError, now: number): void {
    this.settle(request, error.code, NO_TOKENS, now);
    this.#accounts.refused(error.code, now);
    this.#audit.refused(error.code, request, now);
    if (request.committed) request.answer.breakOff(error);
    else request.answer.refuse(this.#refusals.complete(error, request, this.#crowd(), now));
  }

  /** It will not be served here. The error of its last attempt, if any, says more than that no other machine was available. */
  giveUp(request: PoolRequest, reason: ApiError, now: number): void {
    const { spec, lastFailure, committed } = request;
    if (spec.owner?.otherwise === "decline" && !committed) {
      this.settle(request, null, NO_TOKENS, now);
      request.answer.refuse(DECLINED);
      return;
    }
    // That the owner's machine had no room is `machine_busy`.
    const isOwnBusy = isForOwnMachines(spec.owner) && lastFailure?.code === "queue_timeout";
    this.fail(request, isOwnBusy ? reason : (lastFailure ?? reason), now);
  }
}
