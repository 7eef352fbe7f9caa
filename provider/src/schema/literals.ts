import { invalidRequest } from "../request-errors.ts";
import type { JsonValue } from "./json-value.ts";
import { isRecord } from "./raw-schema.ts";

/** Values and names that a JSON Schema spells out. */

/** @throws EngineError for what is not JSON. */
export function literals(values: readonly unknown[]): JsonValue[] {
  return values.map((value): JsonValue => {
    if (value === null || typeof value === "string" || typeof value === "boolean") return value;
    if (typeof value === "number") return value;
    if (Array.isArray(value)) return literals(value);
    if (!isRecord(value)) throw invalidRequest("a literal in a JSON Schema must be JSON");
    return Object.fromEntries(
      Object.entries(value).map(([key, inner]) => [key, literals([inner])[0] ?? null]),
    );
  });
}

/** Whether a literal is of one of the types, or of any if none is named. */
export function isOfType(value: unknown, types: unknown): boolean {
  if (types === undefined) return true;
  const names = [types].flat();
  if (value === null) return names.includes("null");
  if (Array.isArray(value)) return names.includes("array");
  return names.includes(typeof value) || (Number.isInteger(value) && names.includes("integer"));
}

/** A pattern of all texts but these. */
export function patternOfOthers(texts: readonly string[]): string {
  const written = texts.map((text) => text.replaceAll(/[^A-Za-z0-9]/g, escaped));
  return `^(?!(?:${written.join("|")})$)`;
}

/** As a pattern writes a character that may mean something there. */
function escaped(char: string): string {
  return `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`;
}
