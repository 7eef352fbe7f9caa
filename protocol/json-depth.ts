import { MAX_JSON_DEPTH } from "./limits.ts";

/** Whether arrays and objects are nested more deeply than a request may be; serializing them would overflow the stack. */
export function isTooDeep(json: unknown): boolean {
  return isDeeperThan(MAX_JSON_DEPTH, json);
}

/** Makes nothing on its way: lists of fields and functions to go through them took most of its time. */
function isDeeperThan(levels: number, json: unknown): boolean {
  if (Array.isArray(json)) {
    if (levels === 0) return true;
    for (const value of json) if (isDeeperThan(levels - 1, value)) return true;
  } else if (isObject(json)) {
    if (levels === 0) return true;
    for (const field in json) if (isDeeperThan(levels - 1, json[field])) return true;
  }
  return false;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}
