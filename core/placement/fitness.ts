import { decodeTpsAt, type MachineSpeed } from "../pool/speeds.ts";
import type { Fitness } from "./types.ts";

/**
 * How a machine would serve a model, from the best that is known: measured by the model's pool, else claimed by the machine, else
 * guessed from its hardware. The number of streams is the largest at which each still decodes as fast as the floor.
 */

export interface Known {
  readonly speed: MachineSpeed | null;
  /** The machine's own word, tokens per second with one stream. */
  readonly claimedDecodeTps: number | null;
  readonly claimedPrefillTps: number | null;
  /** What `guessedDecodeTps` says; null if it cannot say. */
  readonly guessedDecodeTps: number | null;
  /** Streams it may decode at once. */
  readonly slots: number;
  readonly loadSeconds: number;
}

/** Decoding reads the weights once per token, at this share of the memory's bandwidth. */
const BANDWIDTH_SHARE = 0.8;

/** Of a machine that says nothing of its memory: fast enough to be tried. */
const UNKNOWN_TPS_PER_FLOOR = 2;

/** Reading a prompt is bound by arithmetic, which a Mac has about this much more of. */
const PREFILL_PER_DECODE = 10;

/** Seconds to load weights: to start, and for each GB from disk; measured over Macs of all sizes. */
const LOAD_START_S = 15;
const LOAD_PER_GB_S = 1.6;

export function guessedLoadSeconds(sizeGb: number): number {
  return LOAD_START_S + LOAD_PER_GB_S * sizeGb;
}

/** Tokens per second of one stream alone, by the hardware; null for a machine that says nothing of its memory. */
export function guessedDecodeTps(memoryBandwidthGbs: number, sizeGb: number): number | null {
  return memoryBandwidthGbs > 0 ? (BANDWIDTH_SHARE * memoryBandwidthGbs) / sizeGb : null;
}

/** Null if even one stream alone is slower than the floor: such a machine does not serve the model at all. */
export function fitnessOf(known: Known, floorTps: number): Fitness | null {
  const alone =
    known.claimedDecodeTps ?? known.guessedDecodeTps ?? UNKNOWN_TPS_PER_FLOOR * Math.max(1, floorTps);
  const tpsAt = (streams: number): number => decodeTpsAt(known.speed, alone, streams) ?? alone;
  for (let slots = known.slots; slots >= 1; slots--) {
    const decodeTps = tpsAt(slots);
    if (decodeTps < floorTps) continue;
    return {
      slots,
      decodeTps,
      prefillTps: known.speed?.prefillTps ?? known.claimedPrefillTps ?? PREFILL_PER_DECODE * tpsAt(1),
      loadSeconds: known.loadSeconds,
      onDisk: true,
    };
  }
  return null;
}
