import { STREAM_BYTES_PER_TOKEN } from "../limits.ts";
import type { Reservation } from "../rate-limit.ts";
import type { PoolRequest } from "./request.ts";
import type { Tokens } from "./usage.ts";

/** The outcome of one request, for accounting, rate limits and logs. Contains no text of prompt or answer. */
export interface RequestOutcome {
  readonly requestId: string;
  readonly keyId: string;
  readonly model: string;
  readonly stream: boolean;
  /** `ok`, `cancelled` or the error's code. */
  readonly outcome: string;
  readonly tokens: Tokens;
  readonly attempts: number;
  /** The machine of the last attempt; null if there was none. */
  readonly machine: MachineRef | null;
  /** From its arrival in the pool until it was first sent to a machine, or until it had waited in vain; null if neither. */
  readonly queueMs: number | null;
  /** From its arrival at the edge to its first token; null if there was none. */
  readonly firstTokenMs: number | null;
  /** From its arrival at the edge to its end. */
  readonly tookMs: number;
  readonly reservation: Reservation | null;
  /** What its client has had, by its length: all that is known where the machine has not counted, since nobody read on. */
  readonly leastTokens: number;
}

export interface MachineRef {
  readonly machineId: string;
  /** Such as `Apple M3 Ultra`; empty if it is not known. */
  readonly chip: string;
}

export function outcomeOf(
  request: PoolRequest,
  outcome: string,
  tokens: Tokens,
  now: number,
): RequestOutcome {
  const { spec, attempts, machine, enteredAt, waitsUntil, firstTokenAt } = request;
  const wait = request.sentAt ?? (waitsUntil === null ? null : now);
  return {
    requestId: spec.requestId,
    keyId: spec.keyId,
    model: spec.model,
    stream: spec.stream,
    outcome,
    tokens,
    attempts,
    machine,
    queueMs: wait === null ? null : Math.max(0, wait - enteredAt),
    firstTokenMs: firstTokenAt === null ? null : Math.max(0, firstTokenAt - spec.arrivedAt),
    tookMs: Math.max(0, now - spec.arrivedAt),
    reservation: spec.reservation,
    leastTokens: request.promptTokensEstimate + Math.floor(request.writtenBytes / STREAM_BYTES_PER_TOKEN),
  };
}
