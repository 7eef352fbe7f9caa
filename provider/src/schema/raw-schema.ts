/** A client's JSON Schema as it was written, before anything of it is understood. */
export type RawSchema = Readonly<Record<string, unknown>>;

/** A schema that was put together from several may have several. */
export function patternsOf({ pattern }: RawSchema): string[] {
  return [pattern].flat().filter((one) => typeof one === "string");
}

/** The type that a schema without one is about, by the keywords it uses. */
export function impliedType(schema: RawSchema): string | undefined {
  const uses = (...keywords: string[]): boolean => keywords.some((keyword) => schema[keyword] !== undefined);
  if (uses("properties", "required", "additionalProperties")) return "object";
  if (uses("items", "prefixItems", "minItems", "maxItems")) return "array";
  if (uses("minLength", "maxLength", "pattern", "format")) return "string";
  if (uses("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")) return "number";
  return undefined;
}

/** A key of a reference. One that is no valid URI is taken as it is: people write it so. */
export function decoded(key: string): string {
  try {
    return decodeURIComponent(key);
  } catch {
    return key;
  }
}

export function isRecord(value: unknown): value is RawSchema {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function count(value: unknown): number | null {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 ? value : null;
}

export function numberOr(value: unknown, otherwise: number): number {
  return typeof value === "number" ? value : otherwise;
}
