import type { Connection } from "./connection.ts";
import { measuredPrefillTps } from "./first-token.ts";
import { gate, isLoaded, type Asker } from "./gate.ts";
import type { RequestSpec } from "./request.ts";

/** Filter by the gate, score by expected wait, pick the cheapest: how a request finds its machine. */

/** Speeds assumed for a machine that has not measured its own, tokens per second. */
const DEFAULT_PREFILL_TPS = 500;
const DEFAULT_DECODE_TPS = 20;

/** What swapping a model in costs a request, in ms: more than any wait, so that loaded machines come first. */
const SWAP_COST_MS = 30_000;

/** What a machine already holds of a prompt may save it this share of reading it at most: some is always new. */
const MOST_SAVED = 0.8;

/** What is saved counts this many times at most: for the request itself and for one that runs beside it. */
const MOST_SHARERS = 2;

/** What a request's machine is chosen by. */
export interface Wanted {
  readonly spec: Pick<RequestSpec, "model" | "slotsPerMachine" | "prefix">;
  readonly promptTokensEstimate: number;
  /** Machines that have failed it. */
  readonly tried: ReadonlySet<string>;
}

/** Of the machines that may take the request now and have not failed it yet, the one that should answer soonest. */
export function pick(
  connections: Iterable<Connection>,
  wanted: Wanted,
  now: number,
  asker: Asker = "public",
): Connection | null {
  const { model, slotsPerMachine } = wanted.spec;
  let best: Connection | null = null;
  let bestCost = Infinity;
  for (const connection of connections) {
    if (wanted.tried.has(connection.identity.machineId)) continue;
    if (gate(connection, model, slotsPerMachine, now, asker) !== null) continue;
    const cost = expectedWaitMs(connection, wanted);
    if (
      cost < bestCost ||
      (cost === bestCost && best !== null && connection.lastPickedAt < best.lastPickedAt)
    ) {
      best = connection;
      bestCost = cost;
    }
  }
  return best;
}

/**
 * Expected time to the first token, in ms: the prompt shares the machine's prefill with what runs there, and each
 * running stream takes its turn before the first token comes. What the machine holds of the prompt is taken off for the
 * request itself and for at most one that runs there: so it may make up for one more request on the machine, never for
 * two.
 */
export function expectedWaitMs(
  connection: Connection,
  { spec: { model, prefix }, promptTokensEstimate }: Omit<Wanted, "tried">,
): number {
  const machine = connection.registration;
  const running = Math.max(machine?.running ?? 0, connection.attempts.size);
  const perTokenMs = 1000 / (measuredPrefillTps(connection) ?? DEFAULT_PREFILL_TPS);
  const turnMs = 1000 / (machine?.decodeTps ?? DEFAULT_DECODE_TPS);
  const swapMs = isLoaded(connection, model) ? 0 : SWAP_COST_MS;
  const heldTokens = prefix.length === 0 ? 0 : connection.prefixes.expectedTokens(prefix);
  const savedTokens = Math.min(heldTokens, MOST_SAVED * promptTokensEstimate);
  const tokens = promptTokensEstimate * (1 + running) - savedTokens * Math.min(MOST_SHARERS, 1 + running);
  return swapMs + perTokenMs * tokens + turnMs * running;
}
