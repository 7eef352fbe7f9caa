import { isDeepStrictEqual } from "node:util";

import { isRecord, patternsOf, type RawSchema } from "./raw-schema.ts";

/** Two schemas that a value must follow both, as one: the parts of an `allOf`, and what stands beside `anyOf` or `$ref`. */

export interface MergedSchema {
  readonly schema: RawSchema;
  /** Keywords that both have, and that cannot be asked for together: the second one's counts. */
  readonly lost: readonly string[];
}

/** Keywords that ask nothing of a value, or only name schemas. */
const NOTES = new Set(
  `$schema $id $anchor $comment $defs definitions title description default examples example deprecated readOnly
   writeOnly strict nullable contentEncoding contentMediaType`.split(/\s+/),
);

export function isNote(keyword: string): boolean {
  return NOTES.has(keyword) || keyword.startsWith("x-");
}

export function mergeSchemas(one: RawSchema, other: RawSchema): MergedSchema {
  const schema: Record<string, unknown> = { ...one, ...other };
  const lost: string[] = [];
  for (const [keyword, first] of Object.entries(one)) {
    const second = other[keyword];
    if (second === undefined || isNote(keyword) || isDeepStrictEqual(first, second)) continue;
    const joined = JOIN.get(keyword)?.(first, second);
    if (joined === undefined) lost.push(keyword);
    else schema[keyword] = joined;
  }
  return { schema, lost };
}

/** @returns what asks for both; undefined if there is none. */
type Join = (one: unknown, other: unknown) => unknown;

const larger: Join = (one, other) =>
  typeof one === "number" && typeof other === "number" ? Math.max(one, other) : undefined;
const smaller: Join = (one, other) =>
  typeof one === "number" && typeof other === "number" ? Math.min(one, other) : undefined;

const JOIN: ReadonlyMap<string, Join> = new Map([
  ["properties", joinProperties],
  ["required", joinLists],
  ["pattern", (one, other) => [...patternsOf({ pattern: one }), ...patternsOf({ pattern: other })]],
  ["type", joinTypes],
  ["enum", joinLiterals],
  ["items", joinSchemas],
  ["additionalProperties", joinSchemas],
  ...["minimum", "exclusiveMinimum", "minLength", "minItems"].map((keyword) => [keyword, larger] as const),
  ...["maximum", "exclusiveMaximum", "maxLength", "maxItems"].map((keyword) => [keyword, smaller] as const),
]);

function joinProperties(one: unknown, other: unknown): unknown {
  if (!isRecord(one) || !isRecord(other)) return undefined;
  const both = Object.keys(one).filter((name) => Object.hasOwn(other, name));
  return {
    ...one,
    ...other,
    ...Object.fromEntries(both.map((name) => [name, { allOf: [one[name], other[name]] }])),
  };
}

function joinSchemas(one: unknown, other: unknown): unknown {
  if (one === false || other === false) return false;
  if (one === true) return other;
  if (other === true) return one;
  return isRecord(one) && isRecord(other) ? { allOf: [one, other] } : undefined;
}

function joinLists(one: unknown, other: unknown): unknown {
  return Array.isArray(one) && Array.isArray(other) ? [one, other].flat() : undefined;
}

function joinTypes(one: unknown, other: unknown): unknown {
  const [first, second] = [[one].flat(), [other].flat()];
  const has = (types: readonly unknown[], type: unknown): boolean =>
    types.includes(type) || (type === "integer" && types.includes("number"));
  const types = [...first.filter((type) => has(second, type)), ...second.filter((type) => has(first, type))];
  const [type, ...more] = new Set(types);
  return more.length === 0 ? type : [type, ...more];
}

function joinLiterals(one: unknown, other: unknown): unknown {
  if (!Array.isArray(one) || !Array.isArray(other)) return undefined;
  const both = one.filter((value) => other.some((literal) => isDeepStrictEqual(value, literal)));
  return both.length === 0 ? undefined : both;
}
