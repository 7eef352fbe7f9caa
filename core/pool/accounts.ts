import type { InferenceComplete } from "../../protocol/upstream.ts";
import { isForLackOfRoom, type ApiErrorCode } from "../api-error.ts";
import type { RefusalCount } from "../edge-verdicts.ts";
import type { Attempt } from "./attempt.ts";
import { learnPrefill } from "./first-token.ts";
import type { Ledger } from "./ledger.ts";
import { outcomeOf, type RequestOutcome } from "./outcome.ts";
import type { Pressure } from "./pressure.ts";
import { RecentFirstTokens } from "./recent-first-tokens.ts";
import { isWritten, type PoolRequest } from "./request.ts";
import { isServedInTime } from "./service-level.ts";
import type { PoolFlags } from "./settings.ts";
import { NO_TOKENS, tokensOf, type Tokens } from "./usage.ts";

/** Accounting of requests: demand on arrival; outcome, tokens and the machine's speed at the end. */
export class Accounts {
  readonly #ledger: Ledger;
  readonly #pressure: Pressure;
  readonly firstTokens = new RecentFirstTokens();
  readonly #onEnded: (outcome: RequestOutcome) => void;

  constructor(ledger: Ledger, pressure: Pressure, onEnded: (outcome: RequestOutcome) => void) {
    this.#ledger = ledger;
    this.#pressure = pressure;
    this.#onEnded = onEnded;
  }

  /**
   * Before anything is decided about it (F8).
   * @param isDemand it asks for the pool's model, and not for one that its owner has a machine load.
   */
  arrived(promptTokens: number, isDemand: boolean, now: number): void {
    if (isDemand) this.#ledger.demand.arrived(promptTokens, now);
    this.#pressure.arrived(now);
  }

  /** Requests that the edge has refused by a verdict of this pool: they count as if they had come here (F8). */
  refusedAtEdge(counts: readonly RefusalCount[], now: number): void {
    for (const { code, keyId, requests, promptTokens } of counts) {
      this.#ledger.demand.arrived(promptTokens, now, requests);
      this.#pressure.arrived(now, requests);
      this.#pressure.refused(now, requests);
      this.#ledger.usage.count(keyId, code, NO_TOKENS, now, requests);
      this.#ledger.metrics.refusedAtEdge(code, requests);
    }
  }

  refused(code: ApiErrorCode, now: number): void {
    if (isForLackOfRoom(code)) this.#pressure.refused(now);
  }

  /**
   * What an answer tells of its machine and of how well its pool serves.
   * @param isOwnModel it was answered by the pool's model, and not by one that its owner had the machine load.
   */
  answered(
    request: PoolRequest,
    attempt: Attempt,
    message: InferenceComplete,
    isOwnModel: boolean,
    flags: PoolFlags,
    now: number,
  ): void {
    const { spec } = request;
    const { connection } = attempt;
    const tokens = tokensOf(message);
    this.#ledger.work.answered(connection.identity, tokens, now);
    if (isOwnModel) {
      // This one has left already.
      const streams = (attempt.streamsAtFirstByte + connection.attempts.size + 1) / 2;
      this.#ledger.speeds.learn(connection.identity.machineId, message, streams);
      const read = {
        tokens: tokens.promptTokens - tokens.cachedTokens,
        prefillMs: message.timings.prefill_ms,
        isAlone: attempt.streamsAtFirstByte === 1,
      };
      if (isWritten(spec)) learnPrefill(connection, read, now);
      connection.hasRead(spec, request.promptTokensEstimate, message.usage.cached_tokens ?? null);
    }
    // When the first token of an answer that is sent whole was there, only the machine knows.
    const atMachineMs = spec.stream
      ? attempt.firstByteAt - attempt.sentAt
      : message.timings.queue_ms + message.timings.prefill_ms;
    const ttftMs = attempt.sentAt - spec.arrivedAt + atMachineMs;
    if (isWritten(spec)) request.firstTokenAt ??= spec.arrivedAt + ttftMs;
    if (isOwnModel) this.#ledger.demand.completed(tokens, isServedInTime(message, ttftMs, flags), now);
  }

  /** Counts a finished request. */
  ended(request: PoolRequest, outcome: string, tokens: Tokens, now: number): void {
    this.#ledger.usage.count(request.spec.keyId, outcome, tokens, now);
    const ended = outcomeOf(request, outcome, tokens, now);
    this.#ledger.metrics.ended(ended);
    if (ended.firstTokenMs !== null) this.firstTokens.observe(ended.firstTokenMs, now);
    this.#onEnded(ended);
  }
}
