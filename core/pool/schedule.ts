import type { Connection } from "./connection.ts";
import { contextOf } from "./context-need.ts";
import { measuredPrefillTps } from "./first-token.ts";
import { gate, isLoaded, type Asker } from "./gate.ts";
import type { RequestSpec } from "./request.ts";

/** How a request finds its machine: filter by the gate, score by expected wait, pick the lowest. */

/** Speeds assumed for a machine that has not measured its own, tokens per second. */
const DEFAULT_PREFILL_TPS = 500;
const DEFAULT_DECODE_TPS = 20;

/** What swapping a model in costs a request, in ms: more than any wait, so that loaded machines come first. */
const SWAP_COST_MS = 30_000;

/** What a machine already holds of a prompt may save it this share of reading it at most: some is always new. */
const MOST_SAVED = 0.8;

/** What it holds beyond that counts for this share: it decides between machines that hold nearly all of the prompt. */
const SAVED_BEYOND = 0.1;

/** What is saved counts this many times at most: for the request itself and for one that runs beside it. */
const MOST_SHARERS = 2;

/** What a request's machine is chosen by. */
export interface Wanted {
  readonly spec: Pick<RequestSpec, "model" | "slotsPerMachine" | "prefix" | "keyId" | "cacheKeys">;
  readonly promptTokensEstimate: number;
  /** Machines that have failed it. */
  readonly tried: ReadonlySet<string>;
  /** Machines on which it may take up less are passed over, in tokens; 0 for none. */
  readonly leastContext?: number;
}

/** Of the machines that may take the request now and have not failed it yet, the one that should answer soonest. */
export function pick(
  connections: Iterable<Connection>,
  wanted: Wanted,
  now: number,
  asker: Asker = "public",
): Connection | null {
  const choice = new Choice(wanted, now, asker);
  for (const connection of connections) choice.offer(connection);
  return choice.best;
}

/** The best of the machines that a request was offered; of equals the one picked longest ago, of those the first to come. */
export class Choice {
  readonly #wanted: Wanted;
  readonly #now: number;
  readonly #asker: Asker;
  #best: Connection | null = null;
  #bestMs = Infinity;

  constructor(wanted: Wanted, now: number, asker: Asker) {
    this.#wanted = wanted;
    this.#now = now;
    this.#asker = asker;
  }

  /** Null if none of them may take the request now, or all that may have failed it. */
  get best(): Connection | null {
    return this.#best;
  }

  offer(connection: Connection): void {
    const { spec, tried, leastContext = 0 } = this.#wanted;
    if (leastContext > 0 && contextOf(connection) < leastContext) return;
    const waitMs = expectedWaitMs(connection, this.#wanted);
    // Most are not better, which is told sooner than whether they may.
    if (!this.isBeatenBy(waitMs, connection) || tried.has(connection.identity.machineId)) return;
    if (gate(connection, spec.model, spec.slotsPerMachine, this.#now, this.#asker) !== null) return;
    this.#best = connection;
    this.#bestMs = waitMs;
  }

  /** Whether the machine would be better than the best so far if it answered after so long. */
  isBeatenBy(waitMs: number, connection: Connection): boolean {
    if (waitMs !== this.#bestMs || this.#best === null) return waitMs < this.#bestMs;
    const sooner =
      connection.lastPickedAt - this.#best.lastPickedAt || connection.arrival - this.#best.arrival;
    return sooner < 0;
  }
}

/**
 * Expected time to the first token, in ms: the prompt shares the machine's prefill with what runs there, and each
 * running stream takes its turn before the first token comes. What the machine holds of the prompt is taken off for the
 * request itself and for at most one that runs there: so it may make up for one more request on the machine, never for
 * two.
 */
export function expectedWaitMs(
  connection: Connection,
  { spec, promptTokensEstimate }: Pick<Wanted, "spec" | "promptTokensEstimate">,
): number {
  const running = runningOn(connection);
  const turnMs = 1000 / (connection.registration?.decodeTps ?? DEFAULT_DECODE_TPS);
  const swapMs = isLoaded(connection, spec.model) ? 0 : SWAP_COST_MS;
  const savedTokens = savedOf(connection.cachedTokensOf(spec, promptTokensEstimate), promptTokensEstimate);
  const tokens = promptTokensEstimate * (1 + running) - savedTokens * Math.min(MOST_SHARERS, 1 + running);
  return swapMs + perTokenMsOf(connection) * tokens + turnMs * running;
}

function savedOf(cachedTokens: number, promptTokens: number): number {
  const most = MOST_SAVED * promptTokens;
  if (cachedTokens <= most) return cachedTokens;
  return most + SAVED_BEYOND * (cachedTokens - most);
}

/**
 * What `expectedWaitMs` is at least for a machine that has read nothing of the prompt.
 * @param running null if it would have to load the model first.
 */
export function leastWaitMs(
  { promptTokensEstimate }: Pick<Wanted, "promptTokensEstimate">,
  perTokenMs: number,
  running: number | null,
): number {
  const swapMs = running === null ? SWAP_COST_MS : 0;
  return swapMs + perTokenMs * (promptTokensEstimate * (1 + (running ?? 0)));
}

/** What the machine takes to read a token of a prompt, in ms. */
export function perTokenMsOf(connection: Connection): number {
  return 1000 / (measuredPrefillTps(connection) ?? DEFAULT_PREFILL_TPS);
}

/** Requests that the machine runs, as far as the pool knows. */
export function runningOn({ registration, attempts }: Connection): number {
  return Math.max(registration?.running ?? 0, attempts.size);
}
