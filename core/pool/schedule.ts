import type { ModelId } from "../../protocol/ids.ts";
import type { Connection } from "./connection.ts";
import { measuredPrefillTps } from "./first-token.ts";
import { gate, isLoaded } from "./gate.ts";

/** Filter by the gate, score by expected wait, pick the cheapest: how a request finds its machine. */

/** Speeds assumed for a machine that has not measured its own, tokens per second. */
const DEFAULT_PREFILL_TPS = 500;
const DEFAULT_DECODE_TPS = 20;

/** What swapping a model in costs a request, in ms: more than any queue, so that loaded machines come first. */
const SWAP_COST_MS = 30_000;

/** Of the machines that may take the request now and have not failed it yet, the one that should answer soonest. */
export function pick(
  connections: Iterable<Connection>,
  model: ModelId,
  slotsPerMachine: number,
  promptTokens: number,
  tried: ReadonlySet<string>,
  now: number,
  asOwner = false,
  heedsBreakers = !asOwner,
): Connection | null {
  let best: Connection | null = null;
  let bestCost = Infinity;
  for (const connection of connections) {
    if (tried.has(connection.identity.machineId)) continue;
    if (gate(connection, model, slotsPerMachine, now, asOwner, heedsBreakers) !== null) continue;
    const cost = expectedWaitMs(connection, model, promptTokens);
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
 * running stream takes its turn before the first token comes.
 */
export function expectedWaitMs(connection: Connection, model: ModelId, promptTokens: number): number {
  const machine = connection.registration;
  const running = Math.max(machine?.running ?? 0, connection.attempts.size);
  const prefillMs = (1000 * promptTokens) / (measuredPrefillTps(connection) ?? DEFAULT_PREFILL_TPS);
  const turnMs = 1000 / (machine?.decodeTps ?? DEFAULT_DECODE_TPS);
  return (isLoaded(connection, model) ? 0 : SWAP_COST_MS) + prefillMs * (1 + running) + turnMs * running;
}
