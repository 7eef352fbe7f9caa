import { MAX_JSON_DEPTH } from "./limits.ts";

/** Whether JSON holds lists and objects inside each other beyond what a request may: whoever writes it anew recurses. */
export function isTooDeep(json: unknown): boolean {
  return isDeeperThan(MAX_JSON_DEPTH, json);
}

function isDeeperThan(levels: number, json: unknown): boolean {
  if (typeof json !== "object" || json === null) return false;
  if (levels === 0) return true;
  const inside: readonly unknown[] = Array.isArray(json) ? json : Object.values(json);
  return inside.some((value) => isDeeperThan(levels - 1, value));
}
