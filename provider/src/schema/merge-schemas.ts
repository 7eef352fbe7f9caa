import { isDeepStrictEqual } from "node:util";

import { isRecord, patternsOf, type RawSchema } from "./raw-schema.ts";

/** Several schemas that a value must follow, as one: the parts of an `allOf`, and what stands beside `anyOf` or `$ref`. */

export interface MergedSchema {
  readonly schema: RawSchema;
  /** Keywords that several have, and that cannot be asked for together: the last one's counts. */
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

/** In one go, since a client may send thousands of them. */
export function mergeSchemas(schemas: readonly RawSchema[]): MergedSchema {
  const lost: string[] = [];
  const merged = new Map<string, unknown>();
  for (const [keyword, values] of gather(schemas)) {
    const last = values.at(-1);
    const isOne = isNote(keyword) || values.every((value) => isDeepStrictEqual(value, last));
    const joined = isOne ? last : JOIN.get(keyword)?.(values);
    if (joined === undefined) lost.push(keyword);
    merged.set(keyword, joined ?? last);
  }
  return { schema: Object.fromEntries(merged), lost };
}

/** All values of each keyword or property, in the order of the objects. */
function gather(objects: readonly RawSchema[]): Map<string, unknown[]> {
  const all = new Map<string, unknown[]>();
  for (const object of objects) {
    for (const [name, value] of Object.entries(object)) {
      const values = all.get(name);
      if (values !== undefined) values.push(value);
      else if (value !== undefined) all.set(name, [value]);
    }
  }
  return all;
}

/** @returns what asks for all of them; undefined if there is none. */
type Join = (values: readonly unknown[]) => unknown;

const largest: Join = (values) =>
  values.every(isNumber) ? values.reduce((a, b) => Math.max(a, b)) : undefined;
const smallest: Join = (values) =>
  values.every(isNumber) ? values.reduce((a, b) => Math.min(a, b)) : undefined;

const JOIN: ReadonlyMap<string, Join> = new Map([
  ["properties", joinProperties],
  ["required", joinLists],
  ["pattern", (values) => patternsOf({ pattern: values.flat() })],
  ["type", joinTypes],
  ["enum", joinLiterals],
  ["items", joinSchemas],
  ["additionalProperties", joinSchemas],
  ...["minimum", "exclusiveMinimum", "minLength", "minItems"].map((keyword) => [keyword, largest] as const),
  ...["maximum", "exclusiveMaximum", "maxLength", "maxItems"].map((keyword) => [keyword, smallest] as const),
]);

function isNumber(value: unknown): value is number {
  return typeof value === "number";
}

function joinProperties(values: readonly unknown[]): unknown {
  if (!values.every(isRecord)) return undefined;
  return Object.fromEntries(
    [...gather(values)].map(([name, schemas]) => [
      name,
      schemas.length === 1 ? schemas[0] : { allOf: schemas },
    ]),
  );
}

function joinSchemas(values: readonly unknown[]): unknown {
  if (values.includes(false)) return false;
  const asking = values.filter((value) => value !== true);
  if (asking.length === 1) return asking[0];
  return asking.every(isRecord) ? { allOf: asking } : undefined;
}

function joinLists(values: readonly unknown[]): unknown {
  return values.every(Array.isArray) ? values.flat() : undefined;
}

/** An integer is a number. */
function joinTypes(values: readonly unknown[]): unknown {
  const lists = values.map((value) => [value].flat());
  const has = (types: readonly unknown[], type: unknown): boolean =>
    types.includes(type) || (type === "integer" && types.includes("number"));
  const inAll = lists.flat().filter((type) => lists.every((types) => has(types, type)));
  const [type, ...more] = new Set(inAll);
  return more.length === 0 ? type : [type, ...more];
}

function joinLiterals(values: readonly unknown[]): unknown {
  if (!values.every(Array.isArray)) return undefined;
  const [first = [], ...others] = values.map(
    (literals: readonly unknown[]) => new Map(literals.map((literal) => [JSON.stringify(literal), literal])),
  );
  const inAll = [...first].filter(([text]) => others.every((literals) => literals.has(text)));
  return inAll.length === 0 ? undefined : inAll.map(([, literal]) => literal);
}
