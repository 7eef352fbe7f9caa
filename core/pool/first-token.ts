import type { ModelId } from "../../protocol/ids.ts";
import { FASTEST_PREFILL_TPS, PREFILL_SAYS_FOR_MS, PREFILL_SAYS_TOKENS } from "../limits.ts";
import type { Connection } from "./connection.ts";
import { isBusy, isLoaded, routableGate } from "./gate.ts";
import { isWritten } from "./request.ts";

/**
 * A lower bound for the time to first token, and whether it is above the limit. A request is refused only by measurements: if
 * any machine that could take it is unmeasured, is idle with an old measurement, or would have to load the model, the request
 * goes on. Time in line is not included, because the line has limits of its own.
 */

/** Share of a new measurement in an average. */
const WEIGHT = 0.2;

/**
 * Learns from an answer. Short prompts are ignored, because most of their time is overhead. A prompt that was prefilled
 * together with others gives only a lower bound.
 */
export function learnPrefill(
  connection: Connection,
  { tokens, prefillMs, isAlone }: { tokens: number; prefillMs: number; isAlone: boolean },
  now: number,
): void {
  if (tokens < PREFILL_SAYS_TOKENS || prefillMs <= 0) return;
  const measured = Math.min(FASTEST_PREFILL_TPS, (1000 * tokens) / prefillMs);
  const { prefillTps } = connection;
  if (!isAlone && measured <= (prefillTps ?? Infinity)) return;
  const before = prefillTps === null || isOutdated(connection, now) ? measured : prefillTps;
  connection.prefillTps = before + WEIGHT * (measured - before);
  connection.prefillSaidAt = now;
}

/** A machine that gets no long prompts is not measured again, and would stay slow for ever after one slow answer. */
function isOutdated({ prefillSaidAt }: Connection, now: number): boolean {
  return now - prefillSaidAt > PREFILL_SAYS_FOR_MS;
}

/** Tokens of a prompt that the machine reads per second: as measured here, else by itself; null if neither. */
export function measuredPrefillTps({ prefillTps, registration }: Connection): number | null {
  return prefillTps ?? registration?.prefillTps ?? null;
}

/** Null if it is not known. */
export function leastFirstTokenMs(
  connection: Connection,
  model: ModelId,
  promptTokens: number,
): number | null {
  const tps = measuredPrefillTps(connection);
  if (tps === null || !isLoaded(connection, model)) return null;
  return (1000 * (promptTokens + backlogTokens(connection))) / tps;
}

/** The first machine that could take the request in time, or nobody knows: then it is not too slow. */
export function isTooSlow(
  connections: Iterable<Connection>,
  model: ModelId,
  promptTokensOn: (connection: Connection) => number,
  limitMs: number,
  now: number,
): boolean {
  let isServed = false;
  for (const connection of connections) {
    if (routableGate(connection, model, now) !== null) continue;
    if (isOutdated(connection, now) && !isBusy(connection)) return false;
    const leastMs = leastFirstTokenMs(connection, model, promptTokensOn(connection));
    if (leastMs === null || leastMs <= limitMs) return false;
    isServed = true;
  }
  return isServed;
}

/** Prompts that the machine has been sent and has to read first, as far as is known. */
function backlogTokens({ attempts }: Connection): number {
  let tokens = 0;
  for (const { phase, request } of attempts.values()) {
    if (request === null || !isWritten(request.spec)) continue;
    if (phase === "sent" || phase === "accepted") tokens += request.promptTokensEstimate;
  }
  return tokens;
}
