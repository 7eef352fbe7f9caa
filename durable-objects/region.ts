import type { Env } from "./env.ts";
import { logError } from "./log.ts";

/**
 * Where Fleet and the pools come into being. An object lives for ever where it was first called from, unless that call
 * names a region; and the first call is often the platform's cron, which runs wherever there is room.
 */

const REGIONS: readonly DurableObjectLocationHint[] = [
  "wnam",
  "enam",
  "sam",
  "weur",
  "eeur",
  "apac",
  "apac-ne",
  "apac-se",
  "oc",
  "afr",
  "me",
];

/** For every call, since any may be the first. */
export function regionOf({ REGION }: Pick<Env, "REGION">): DurableObjectNamespaceGetDurableObjectOptions {
  if (REGION === undefined) return {};
  const locationHint = REGIONS.find((region) => region === REGION);
  if (locationHint !== undefined) return { locationHint };
  if (!isUnknownTold) logError("region_unknown", { region: REGION, known: REGIONS.join(" ") });
  isUnknownTold = true;
  return {};
}

/** Logged once: else every call would log it. */
let isUnknownTold = false;
