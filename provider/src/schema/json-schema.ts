import { isDeepStrictEqual } from "node:util";

import { invalidRequest, unsupported } from "../request-errors.ts";
import { stringFormat } from "./format-patterns.ts";
import { isOfType, literals, patternOfOthers } from "./literals.ts";
import { isNote, mergeSchemas } from "./merge-schemas.ts";
import { LARGEST_INTEGER } from "./number-grammar.ts";
import { count, decoded, impliedType, isRecord, numberOr, patternsOf, type RawSchema } from "./raw-schema.ts";
import type { JsonSchema, SchemaNode } from "./schema-node.ts";
import { SharedLimits } from "./shared-limits.ts";
import type { TextForm } from "./text-form.ts";

/**
 * Parses a client's JSON Schema into `SchemaNode`s. A grammar can enforce structure, but not every keyword of JSON Schema. A
 * keyword that cannot be enforced is refused by name if the caller asked for `strict`. Otherwise it is ignored: the answer is
 * then close to the schema, and the caller has to check it as with any other model.
 */

export interface ParseOptions {
  /** Refuse keywords that a grammar cannot enforce, instead of ignoring them. */
  readonly strict: boolean;
  /** The field of the request, for messages. */
  readonly where: string;
  /** What all schemas of a request share, if it has several. */
  readonly shared?: SharedLimits;
}

/** llama.cpp refuses grammars that repeat a rule about 1,000 times. A lower limit makes answers stricter, never wrong. */
const MAX_REPETITIONS = 900;
/** Literals count as well: the time that llama.cpp takes to read a choice grows with its square. */
const MAX_NODES = 4096;
const MAX_DEPTH = 64;
/** An integer between two bounds this close is written as a choice of literals. */
const MAX_LISTED_INTEGERS = 256;

/** @throws EngineError `invalid_request` for an invalid schema, `unsupported` for one that cannot be enforced. */
export function parseJsonSchema(schema: unknown, options: ParseOptions): JsonSchema {
  return new SchemaReader(schema, options).read();
}

/** All keywords that are understood, or that are only notes for people. Others must be refused. */
const KNOWN_KEYWORDS = new Set(
  `$schema $id $anchor $comment $defs definitions $ref title description default examples example deprecated readOnly
   writeOnly strict nullable type const enum anyOf oneOf allOf properties required additionalProperties items prefixItems
   minItems maxItems minLength maxLength pattern format minimum maximum exclusiveMinimum exclusiveMaximum
   contentEncoding contentMediaType additionalItems`.split(/\s+/),
);

interface Bound {
  readonly at: number | null;
  readonly isExcluded: boolean;
}

class SchemaReader {
  readonly #schema: unknown;
  readonly #options: ParseOptions;
  readonly #definitions = new Map<string, SchemaNode>();
  readonly #shared: SharedLimits;
  /** References that are being written out together with what stands beside them. */
  readonly #writtenOut = new Set<string>();
  #nodes = 0;

  constructor(schema: unknown, options: ParseOptions) {
    this.#schema = schema;
    this.#options = options;
    this.#shared = options.shared ?? new SharedLimits();
  }

  read(): JsonSchema {
    const root = this.#node(this.#schema, "", 0);
    // References are read when they are first met, so that unused definitions need not be understood.
    if (this.#definitions.has("#")) this.#definitions.set("#", root);
    return { root, definitions: this.#definitions };
  }

  #node(schema: unknown, path: string, depth: number): SchemaNode {
    this.#count(1, depth);
    if (schema === true) return { kind: "any" };
    if (!isRecord(schema)) throw invalidRequest(`${this.#options.where}${path}: is not a JSON Schema`);
    const merged = this.#mergeAllOf(schema, path);
    for (const keyword of Object.keys(merged)) {
      if (!KNOWN_KEYWORDS.has(keyword) && !keyword.startsWith("x-")) this.#notEnforced(keyword, path);
    }
    const node = this.#shape(merged, path, depth);
    return merged["nullable"] === true ? { kind: "union", options: [node, { kind: "null" }] } : node;
  }

  #count(nodes: number, depth: number): void {
    this.#nodes += nodes;
    this.#shared.nodesLeft -= nodes;
    if (this.#nodes <= MAX_NODES && depth <= MAX_DEPTH && this.#shared.nodesLeft >= 0) return;
    throw invalidRequest(`${this.#options.where}: the schema is too large`);
  }

  #shape(schema: RawSchema, path: string, depth: number): SchemaNode {
    if (schema["$ref"] !== undefined) return this.#reference(schema, path, depth);
    if ("const" in schema || schema["enum"] !== undefined) return this.#literals(schema, path);
    const options = schema["anyOf"] ?? schema["oneOf"];
    if (Array.isArray(options)) return this.#union(schema, options, path, depth);
    const type = schema["type"] ?? impliedType(schema);
    if (Array.isArray(type)) {
      return { kind: "union", options: type.map((one) => this.#ofType(one, schema, path, depth)) };
    }
    return this.#ofType(type, schema, path, depth);
  }

  #ofType(type: unknown, schema: RawSchema, path: string, depth: number): SchemaNode {
    switch (type) {
      case undefined:
        return { kind: "any" };
      case "null":
      case "boolean":
        return { kind: type };
      case "integer":
      case "number":
        return this.#number(type === "integer", schema, path);
      case "string":
        return this.#string(schema, path);
      case "object":
        return this.#object(schema, path, depth);
      case "array":
        return this.#array(schema, path, depth);
      default:
        throw invalidRequest(
          `${this.#options.where}${path}: there is no such "type"; there are "string", "number", "integer", "boolean", "object", "array" and "null"`,
        );
    }
  }

  /** Keywords next to an `anyOf` apply to each option, so they are merged into each. */
  #union(schema: RawSchema, options: readonly unknown[], path: string, depth: number): SchemaNode {
    if (schema["anyOf"] !== undefined && schema["oneOf"] !== undefined) this.#notEnforced("oneOf", path);
    const { anyOf: _anyOf, oneOf: _oneOf, $defs: _defs, definitions: _definitions, ...beside } = schema;
    const read = options.map((option, index) =>
      this.#node(
        isRecord(option) ? this.#merge([beside, option], path) : option,
        `${path}.anyOf[${index}]`,
        depth + 1,
      ),
    );
    return { kind: "union", options: read };
  }

  #literals(schema: RawSchema, path: string): SchemaNode {
    const { const: only, enum: listed = [only], type: _type, format: _format, ...others } = schema;
    if (!Array.isArray(listed)) {
      throw invalidRequest(`${this.#options.where}${path}: "enum" must be a list of literals`);
    }
    this.#count(listed.length, 0);
    // A format beside literals is only their name.
    const unasked = Object.keys(others).find((keyword) => !isNote(keyword));
    if (unasked !== undefined) this.#notEnforced(unasked, path);
    // Pydantic writes a literal as both.
    const values: unknown[] = "const" in schema ? [only] : listed;
    if (!listed.some((value) => isDeepStrictEqual(value, values[0]))) this.#notEnforced("enum", path);
    const isTyped = (value: unknown): boolean =>
      isOfType(value, schema["type"]) || (value === null && schema["nullable"] === true);
    if (!values.every(isTyped)) this.#notEnforced("type", path);
    return { kind: "literals", values: literals(values) };
  }

  #number(integer: boolean, schema: RawSchema, path: string): SchemaNode {
    const low = this.#bound("minimum", "exclusiveMinimum", 1, integer, schema, path);
    const high = this.#bound("maximum", "exclusiveMaximum", -1, integer, schema, path);
    const range = { from: low.at, afterFrom: low.isExcluded, to: high.at, beforeTo: high.isExcluded };
    const { from, to } = range;
    if (from === null || to === null) return { kind: "number", integer, ...range };
    if (from > to || (from === to && (range.afterFrom || range.beforeTo))) {
      throw invalidRequest(`${this.#options.where}${path}: there is no number between its bounds`);
    }
    if (integer && to - from < MAX_LISTED_INTEGERS) {
      return { kind: "literals", values: Array.from({ length: to - from + 1 }, (_, index) => from + index) };
    }
    return { kind: "number", integer, ...range };
  }

  /** One end of a range, with a `sign` that makes it the lower one. */
  #bound(
    plain: string,
    exclusive: string,
    sign: 1 | -1,
    integer: boolean,
    schema: RawSchema,
    path: string,
  ): Bound {
    const included = numberOr(schema[plain], -sign * Infinity);
    const excluded = numberOr(schema[exclusive], -sign * Infinity);
    const isExcluded = excluded * sign >= included * sign;
    const given = (isExcluded ? excluded : included) * sign;
    // Grammars write no numbers with more digits.
    if (given <= -LARGEST_INTEGER) return { at: null, isExcluded: false };
    const next = integer ? (isExcluded ? Math.floor(given) + 1 : Math.ceil(given)) : given;
    if (!Number.isInteger(next) || next > LARGEST_INTEGER) {
      this.#notEnforced(isExcluded ? exclusive : plain, path);
      return { at: null, isExcluded: false };
    }
    return { at: next * sign, isExcluded: isExcluded && !integer };
  }

  #string(schema: RawSchema, path: string): SchemaNode {
    const patterns = patternsOf(schema);
    const format = stringFormat(schema["format"]);
    // Next to a pattern, an unknown format is only the pattern's name, as Zod writes it.
    if (schema["format"] !== undefined && format === null && patterns.length === 0) {
      this.#notEnforced("format", path);
    }
    const least = count(schema["minLength"]) ?? 0;
    const most = count(schema["maxLength"]);
    if (least > MAX_REPETITIONS) this.#notEnforced("minLength", path);
    const minLength = Math.min(least, MAX_REPETITIONS);
    // A limit that is too long for a grammar is ignored, unless the caller asked for `strict`.
    const maxLength =
      most === null || (most > MAX_REPETITIONS && !this.#options.strict)
        ? null
        : Math.min(most, MAX_REPETITIONS);
    const { form, notHeld } = this.#shared.forms.find({ patterns, format, minLength, maxLength });
    for (const { keyword, reason } of notHeld) this.#notEnforced(keyword, path, reason);
    return { kind: "string", format, minLength, maxLength, form };
  }

  #object(schema: RawSchema, path: string, depth: number): SchemaNode {
    const raw = isRecord(schema["properties"]) ? schema["properties"] : null;
    const required = new Set(Array.isArray(schema["required"]) ? schema["required"] : []);
    const properties = Object.entries(raw ?? {}).map(([name, property]) => ({
      name,
      required: required.delete(name),
      description:
        isRecord(property) && typeof property["description"] === "string" ? property["description"] : "",
      schema: this.#node(property, `${path}.properties.${name}`, depth + 1),
    }));
    for (const name of required) {
      if (typeof name === "string") {
        properties.push({ name, required: true, description: "", schema: { kind: "any" } });
      }
    }
    // If properties are listed, further ones are not wanted unless the schema says so.
    const additional = schema["additionalProperties"] ?? raw === null;
    const extraKeys = additional === false ? null : this.#extraKeys(properties, path);
    return {
      kind: "object",
      properties,
      extraKeys,
      additional:
        additional === false ? null : this.#node(additional, `${path}.additionalProperties`, depth + 1),
    };
  }

  /** A key that comes again, or late, would be one of the listed without its schema. */
  #extraKeys(properties: readonly { readonly name: string }[], path: string): TextForm | null {
    if (!this.#options.strict || properties.length === 0) return null;
    const pattern = patternOfOthers(properties.map(({ name }) => name));
    const { form, notHeld } = this.#shared.forms.find({
      patterns: [pattern],
      format: null,
      minLength: 0,
      maxLength: null,
    });
    for (const { reason } of notHeld) this.#notEnforced("additionalProperties", path, reason);
    return form;
  }

  #array(schema: RawSchema, path: string, depth: number): SchemaNode {
    // Before JSON Schema 2020, a list under `items` meant what `prefixItems` means now.
    const tuple = Array.isArray(schema["items"]);
    const rawPrefix = tuple ? schema["items"] : schema["prefixItems"];
    const prefix = Array.isArray(rawPrefix)
      ? rawPrefix.map((item, index) => this.#node(item, `${path}.prefixItems[${index}]`, depth + 1))
      : [];
    const rest = (tuple ? schema["additionalItems"] : schema["items"]) ?? prefix.length === 0;
    const minItems = count(schema["minItems"]) ?? 0;
    const maxItems = count(schema["maxItems"]);
    if (minItems > MAX_REPETITIONS) this.#notEnforced("minItems", path);
    if (minItems > Math.min(maxItems ?? Infinity, rest === false ? prefix.length : Infinity)) {
      throw invalidRequest(`${this.#options.where}${path}: there is no list between its bounds`);
    }
    return {
      kind: "array",
      prefix: prefix.slice(0, maxItems ?? undefined),
      items: rest === false ? null : this.#node(rest, `${path}.items`, depth + 1),
      minItems: Math.min(minItems, MAX_REPETITIONS),
      maxItems: maxItems === null ? null : Math.min(maxItems, MAX_REPETITIONS),
    };
  }

  #reference({ $ref: ref, ...beside }: RawSchema, path: string, depth: number): SchemaNode {
    const target = typeof ref === "string" ? this.#lookUp(ref) : undefined;
    if (typeof ref !== "string" || target === undefined) {
      throw invalidRequest(`${this.#options.where}${path}: "$ref" names nothing in this schema`);
    }
    const asked = Object.keys(beside).filter(
      (keyword) =>
        !isNote(keyword) && !(isRecord(target) && isDeepStrictEqual(target[keyword], beside[keyword])),
    );
    if (asked.length > 0 && isRecord(target) && !this.#writtenOut.has(ref)) {
      this.#writtenOut.add(ref);
      const node = this.#node(this.#merge([beside, target], path), path, depth + 1);
      this.#writtenOut.delete(ref);
      return node;
    }
    for (const keyword of asked) this.#notEnforced(keyword, path);
    if (!this.#definitions.has(ref)) {
      // Set before reading: a definition may refer to itself.
      this.#definitions.set(ref, { kind: "any" });
      if (ref !== "#") {
        this.#definitions.set(ref, this.#node(target, ref.slice(1).replaceAll("/", "."), depth + 1));
      }
    }
    return { kind: "ref", name: ref };
  }

  #lookUp(ref: string): unknown {
    if (ref !== "#" && !ref.startsWith("#/")) return undefined;
    let at: unknown = this.#schema;
    for (const key of ref.slice(1).split("/").slice(1)) {
      if (!isRecord(at)) return undefined;
      at = at[decoded(key).replaceAll("~1", "/").replaceAll("~0", "~")];
    }
    return at;
  }

  /** Puts the parts of an `allOf` into one schema: how generators write "this one, with a description". */
  #mergeAllOf(schema: RawSchema, path: string): RawSchema {
    const parts = schema["allOf"];
    if (!Array.isArray(parts)) return schema;
    const { allOf: _allOf, ...beside } = schema;
    this.#count(parts.length, 0);
    const asked = new Set<RawSchema>([beside]);
    for (const part of parts) {
      const ref = isRecord(part) && parts.length > 1 ? part["$ref"] : undefined;
      const target: unknown = typeof ref === "string" ? this.#lookUp(ref) : part;
      const isOpaque =
        ref !== undefined && isRecord(target) && (target["allOf"] ?? target["$ref"]) !== undefined;
      if (isRecord(target) && !isOpaque) asked.add(this.#mergeAllOf(target, path));
      else if (target !== true) this.#notEnforced("allOf", path);
    }
    return this.#merge([...asked], path);
  }

  #merge(schemas: readonly RawSchema[], path: string): RawSchema {
    const { schema, lost } = mergeSchemas(schemas);
    for (const keyword of lost) this.#notEnforced(keyword, path, "several schemas differ in it");
    return schema;
  }

  #notEnforced(keyword: string, path: string, reason = ""): void {
    if (!this.#options.strict) return;
    const why = reason === "" ? "" : `: ${reason}`;
    throw unsupported(
      `${this.#options.where}${path}: the keyword "${keyword}" cannot be enforced with "strict"${why}`,
    );
  }
}
