import { z } from "zod";

import { readFlags, type Flags } from "../flags.ts";
import { TRUST_LEVELS } from "./attestation.ts";

/** The settings that the fleet pushes to its pools. The highest version counts (H17). */

/** The flags that pools act on, without those that only the fleet uses. */
const poolFlagsSchema = z.object({
  pool_exhausted_429: z.enum(["on", "off"]),
  queue_max: z.number(),
  queue_wait_ms: z.number(),
  ttft_limit_ms: z.number(),
  /** The model's own, or the fleet's. Absent in settings written before pools knew it. */
  decode_floor_tps: z.number().default(15),
  shed_models: z.array(z.string()),
  /** Absent in settings written before pools knew it. */
  min_provider_version: z.string().default("none"),
  /** Absent in settings written before pools knew it. A level that only a later version knows is no reason to ask for none. */
  min_trust_level: z.enum(TRUST_LEVELS).default("none").catch("hardware"),
});

/** Machines of the whole fleet that could ever serve a pool's model (H23). */
const supplySchema = z.object({
  /** Have the weights on disk, connected or not. */
  have: z.number(),
  /** Have them, or have the memory for them. */
  couldHold: z.number(),
  /** When the fleet counted, ms since the epoch; 0 for never. */
  at: z.number(),
});

/** As a pool keeps them. */
export const poolSettingsSchema = z.object({
  version: z.number(),
  flags: poolFlagsSchema,
  supply: supplySchema,
});

export type PoolFlags = z.infer<typeof poolFlagsSchema>;
export type Supply = z.infer<typeof supplySchema>;
export type PoolSettings = z.infer<typeof poolSettingsSchema>;

/** @param decodeFloorTps the model's own floor from the catalog; null for the fleet's. */
export function poolFlags(flags: Flags, decodeFloorTps: number | null): PoolFlags {
  return {
    pool_exhausted_429: flags.pool_exhausted_429,
    queue_max: flags.queue_max,
    queue_wait_ms: flags.queue_wait_ms,
    ttft_limit_ms: flags.ttft_limit_ms,
    decode_floor_tps: decodeFloorTps ?? flags.decode_floor_tps,
    shed_models: flags.shed_models,
    min_provider_version: flags.min_provider_version,
    min_trust_level: flags.min_trust_level,
  };
}

export const INITIAL_SETTINGS: PoolSettings = {
  version: 0,
  flags: poolFlags(readFlags({}), null),
  supply: { have: 0, couldHold: 0, at: 0 },
};

/** A machine with the model is here, whatever the fleet counted before it came (H23). */
export function withSupply(settings: PoolSettings): PoolSettings {
  const { have, couldHold, at } = settings.supply;
  return { ...settings, supply: { have: Math.max(1, have), couldHold: Math.max(1, couldHold), at } };
}
