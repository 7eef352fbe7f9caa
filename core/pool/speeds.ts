import { z } from "zod";

import type { MachineId } from "../../protocol/ids.ts";
import type { InferenceComplete } from "../../protocol/upstream.ts";
import { FASTEST_DECODE_TPS, FASTEST_PREFILL_TPS } from "../limits.ts";

/**
 * Measured speeds of each machine with this pool's model, from the timings of its answers. Only measurements: a machine's own
 * claims are kept elsewhere. They are slow moving averages, so an outlier changes little, and are kept across restarts.
 */

export interface MachineSpeed {
  /** Tokens of the prompt read per second; null before the first measurement. */
  readonly prefillTps: number | null;
  /** At index b - 1: tokens per second of one stream while b run on the machine. */
  readonly decodeTps: readonly (number | null)[];
}

export interface MeasuredMachine {
  readonly machineId: MachineId;
  /** Null: nothing is known any more. */
  readonly speed: MachineSpeed | null;
}

export const machineSpeedSchema = z.object({
  prefillTps: z.number().nullable(),
  decodeTps: z.array(z.number().nullable()),
});

/** What an answer says of the machine that gave it. */
export type TimedAnswer = Pick<InferenceComplete, "usage" | "timings">;

/** Share of a new measurement in an average. */
const WEIGHT = 0.2;

/** Shorter answers and prompts are mostly overhead. */
const LEAST_TOKENS = 8;

/** With more streams than this on a machine the speed is kept as if there were this many. */
const STREAMS_MAX = 16;

const UNMEASURED: MachineSpeed = { prefillTps: null, decodeTps: [] };

/** An answer of which nothing has been learned yet. */
interface Measured {
  readonly machineId: MachineId;
  readonly answer: TimedAnswer;
  readonly streams: number;
}

export class Speeds {
  readonly #written: () => Iterable<MeasuredMachine>;
  /** Null until it matters how fast a machine is: that of thousands takes longer to read than a request to answer. */
  #read: Map<MachineId, MachineSpeed> | null = null;
  readonly #unwritten = new Set<MachineId>();
  /** Those since the start of this life, until what earlier ones have measured is read. */
  #answers: Measured[] = [];

  /** @param written what earlier lives have measured; asked for once. */
  constructor(written: () => Iterable<MeasuredMachine>) {
    this.#written = written;
  }

  get #speeds(): Map<MachineId, MachineSpeed> {
    if (this.#read !== null) return this.#read;
    this.#read = new Map();
    for (const { machineId, speed } of this.#written()) if (speed !== null) this.#read.set(machineId, speed);
    for (const measured of this.#answers) this.#average(measured);
    this.#answers = [];
    return this.#read;
  }

  /** Null before the first measurement. */
  get(machineId: MachineId): MachineSpeed | null {
    return this.#speeds.get(machineId) ?? null;
  }

  /** @param streams how many ran on the machine while it answered, this one included. */
  learn(machineId: MachineId, answer: TimedAnswer, streams: number): void {
    const measured = { machineId, answer, streams };
    if (this.#read === null) this.#answers.push(measured);
    else this.#average(measured);
  }

  #average({ machineId, answer, streams }: Measured): void {
    const { prefillTps, decodeTps } = this.get(machineId) ?? UNMEASURED;
    const { usage, timings } = answer;
    const read = usage.prompt_tokens - (usage.cached_tokens ?? 0);
    const prefill = rate(read, timings.prefill_ms, FASTEST_PREFILL_TPS);
    const decode = decodeTpsOf(answer);
    if (prefill === null && decode === null) return;
    const index = Math.min(STREAMS_MAX, Math.max(1, Math.round(streams))) - 1;
    const length = decode === null ? decodeTps.length : Math.max(decodeTps.length, index + 1);
    this.#speeds.set(machineId, {
      prefillTps: average(prefillTps, prefill),
      decodeTps: Array.from({ length }, (_, at) =>
        at === index ? average(decodeTps[at] ?? null, decode) : (decodeTps[at] ?? null),
      ),
    });
    this.#unwritten.add(machineId);
  }

  /** The machine is not known here any more. */
  forget(machineId: MachineId): void {
    if (this.#speeds.delete(machineId)) this.#unwritten.add(machineId);
  }

  get isWritten(): boolean {
    return this.#unwritten.size === 0 && this.#answers.length === 0;
  }

  /** Takes what changed since the last call. */
  drain(): MeasuredMachine[] {
    const speeds = this.#speeds;
    const changed = [...this.#unwritten].map((machineId) => ({
      machineId,
      speed: speeds.get(machineId) ?? null,
    }));
    this.#unwritten.clear();
    return changed;
  }
}

/** Tokens per second at which an answer was generated, from its first token to its last; null if it was too short to tell. */
export function decodeTpsOf({ usage, timings }: TimedAnswer): number | null {
  // The first token comes out of reading the prompt; the time runs from there.
  return rate(usage.completion_tokens - 1, timings.decode_ms, FASTEST_DECODE_TPS);
}

function rate(tokens: number, ms: number, fastest: number): number | null {
  return tokens < LEAST_TOKENS || ms <= 0 ? null : Math.min(fastest, (1000 * tokens) / ms);
}

function average(before: number | null, measured: number | null): number | null {
  if (measured === null) return before;
  return before === null ? measured : before + WEIGHT * (measured - before);
}

/**
 * One more stream on a machine slows each down by this share of its speed alone. Fits what was measured of Macs,
 * where decoding is bound by memory bandwidth and batching helps in part.
 */
const SLOWDOWN_PER_STREAM = 0.35;

/**
 * Tokens per second of one stream while `streams` run: as measured, else from the nearest number of streams that was, else from
 * what the machine claims for one alone; null if nothing is known.
 */
export function decodeTpsAt(
  speed: MachineSpeed | null,
  claimedTps: number | null,
  streams: number,
): number | null {
  const measured = speed?.decodeTps ?? [];
  const exact = measured[streams - 1];
  if (exact != null) return exact;
  let alone = claimedTps;
  let nearest = Infinity;
  for (const [index, tps] of measured.entries()) {
    const distance = Math.abs(index + 1 - streams);
    if (tps === null || distance >= nearest) continue;
    nearest = distance;
    alone = tps * (1 + SLOWDOWN_PER_STREAM * index);
  }
  return alone === null ? null : alone / (1 + SLOWDOWN_PER_STREAM * (streams - 1));
}
