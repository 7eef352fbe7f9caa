import { invalidRequest, unsupported } from "../request-errors.ts";
import { type StringFormat, stringFormat } from "./format-patterns.ts";
import type { JsonValue } from "./json-value.ts";
import { LARGEST_INTEGER, type NumberRange } from "./number-grammar.ts";
import {
  count,
  decoded,
  impliedType,
  isRecord,
  mergeObjects,
  numberOr,
  patternsOf,
  type RawSchema,
  withPatterns,
} from "./raw-schema.ts";
import { StringForms } from "./string-form.ts";
import type { TextForm } from "./text-form.ts";

/**
 * A client's JSON Schema, read once into the few shapes from which a grammar, a function's signature and an example are
 * made. A grammar can hold structure, not every promise of JSON Schema. A keyword that cannot be held is refused
 * where the caller said `strict`, by name, and otherwise left out: the answer is then close to the schema, and the
 * caller has to check it as with any other model.
 */

export interface JsonSchema {
  readonly root: SchemaNode;
  /** What `ref` nodes name: the schema's definitions, and the whole of it under `#`. */
  readonly definitions: ReadonlyMap<string, SchemaNode>;
}

export type SchemaNode =
  | { readonly kind: "any" | "boolean" | "null" }
  | { readonly kind: "literals"; readonly values: readonly JsonValue[] }
  | { readonly kind: "union"; readonly options: readonly SchemaNode[] }
  | { readonly kind: "ref"; readonly name: string }
  | ({ readonly kind: "number" } & NumberRange)
  | StringNode
  | ObjectNode
  | ArrayNode;

export interface StringNode {
  readonly kind: "string";
  readonly minLength: number;
  readonly maxLength: number | null;
  readonly format: StringFormat | null;
  /** What the pattern, the format and the lengths ask for together; null if there are only lengths. */
  readonly form: TextForm | null;
}

export interface ObjectNode {
  readonly kind: "object";
  readonly properties: readonly PropertyNode[];
  /** What further properties may hold; null = there are none. */
  readonly additional: SchemaNode | null;
}

export interface PropertyNode {
  readonly name: string;
  readonly required: boolean;
  /** For the model; empty if there is none. */
  readonly description: string;
  readonly schema: SchemaNode;
}

export interface ArrayNode {
  readonly kind: "array";
  readonly prefix: readonly SchemaNode[];
  /** What comes after the prefix; null = nothing does. */
  readonly items: SchemaNode | null;
  /** Of the whole array, prefix included. */
  readonly minItems: number;
  readonly maxItems: number | null;
}

export interface ParseOptions {
  /** Refuse what the grammar cannot hold, instead of leaving it out. */
  readonly strict: boolean;
  /** The field of the request, for messages. */
  readonly where: string;
  /** Shared by all schemas of the request, if it has several. */
  readonly forms?: StringForms;
}

/** llama.cpp refuses grammars that repeat a rule some 1,000 times; a lower bound is stricter than asked, never wrong. */
const MAX_REPETITIONS = 900;
const MAX_NODES = 4096;
const MAX_DEPTH = 64;
/** An integer between two bounds this close is written as a choice of literals. */
const MAX_LISTED_INTEGERS = 256;

/** @throws EngineError `invalid_request` for what is no schema, `unsupported` for what cannot be held. */
export function parseJsonSchema(schema: unknown, options: ParseOptions): JsonSchema {
  return new SchemaReader(schema, options).read();
}

/** Keywords that say how values look, as opposed to notes for people: they must be understood or refused. */
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
  readonly #forms: StringForms;
  #nodes = 0;

  constructor(schema: unknown, options: ParseOptions) {
    this.#schema = schema;
    this.#options = options;
    this.#forms = options.forms ?? new StringForms();
  }

  read(): JsonSchema {
    const root = this.#node(this.#schema, "", 0);
    // References are read when they are first met, so that unused definitions need not be understood.
    if (this.#definitions.has("#")) this.#definitions.set("#", root);
    return { root, definitions: this.#definitions };
  }

  #node(schema: unknown, path: string, depth: number): SchemaNode {
    this.#nodes += 1;
    if (this.#nodes > MAX_NODES || depth > MAX_DEPTH) {
      throw invalidRequest(`${this.#options.where}: the schema is too large`);
    }
    if (schema === true) return { kind: "any" };
    if (!isRecord(schema)) throw invalidRequest(`${this.#options.where}${path}: is not a JSON Schema`);
    const merged = this.#mergeAllOf(schema, path);
    for (const keyword of Object.keys(merged)) {
      if (!KNOWN_KEYWORDS.has(keyword) && !keyword.startsWith("x-")) this.#notHeld(keyword, path);
    }
    const node = this.#shape(merged, path, depth);
    return merged["nullable"] === true ? { kind: "union", options: [node, { kind: "null" }] } : node;
  }

  #shape(schema: RawSchema, path: string, depth: number): SchemaNode {
    const isElsewhere = schema["$ref"] !== undefined || "const" in schema || Array.isArray(schema["enum"]);
    if (isElsewhere && schema["pattern"] !== undefined) this.#notHeld("pattern", path);
    if (schema["$ref"] !== undefined) return this.#reference(schema["$ref"], path, depth);
    if ("const" in schema) return { kind: "literals", values: literals([schema["const"]]) };
    if (Array.isArray(schema["enum"])) return { kind: "literals", values: literals(schema["enum"]) };
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

  /** What stands beside an `anyOf` holds for each of its options, so it is read together with each. */
  #union(schema: RawSchema, options: readonly unknown[], path: string, depth: number): SchemaNode {
    if (schema["anyOf"] !== undefined && schema["oneOf"] !== undefined) this.#notHeld("oneOf", path);
    const { anyOf: _anyOf, oneOf: _oneOf, $defs: _defs, definitions: _definitions, ...beside } = schema;
    const read = options.map((option, index) =>
      this.#node(
        isRecord(option) ? { ...beside, ...option, ...withPatterns(beside, option) } : option,
        `${path}.anyOf[${index}]`,
        depth + 1,
      ),
    );
    return { kind: "union", options: read };
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
    // What a grammar writes has no more digits.
    if (given <= -LARGEST_INTEGER) return { at: null, isExcluded: false };
    const next = integer ? (isExcluded ? Math.floor(given) + 1 : Math.ceil(given)) : given;
    if (!Number.isInteger(next) || next > LARGEST_INTEGER) {
      this.#notHeld(isExcluded ? exclusive : plain, path);
      return { at: null, isExcluded: false };
    }
    return { at: next * sign, isExcluded: isExcluded && !integer };
  }

  #string(schema: RawSchema, path: string): SchemaNode {
    const patterns = patternsOf(schema);
    const format = stringFormat(schema["format"]);
    // Beside a pattern an unknown format is the pattern's name, as Zod writes it.
    if (schema["format"] !== undefined && format === null && patterns.length === 0) {
      this.#notHeld("format", path);
    }
    const least = count(schema["minLength"]) ?? 0;
    const most = count(schema["maxLength"]);
    if (least > MAX_REPETITIONS) this.#notHeld("minLength", path);
    const minLength = Math.min(least, MAX_REPETITIONS);
    // A longer limit is not worth cutting texts for, unless the caller insists that it holds.
    const maxLength =
      most === null || (most > MAX_REPETITIONS && !this.#options.strict)
        ? null
        : Math.min(most, MAX_REPETITIONS);
    const { form, notHeld } = this.#forms.find({ patterns, format, minLength, maxLength });
    for (const { keyword, reason } of notHeld) this.#notHeld(keyword, path, reason);
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
    // Left open, a model may add what it likes; that helps nobody where the properties are listed.
    const additional = schema["additionalProperties"] ?? raw === null;
    return {
      kind: "object",
      properties,
      additional:
        additional === false ? null : this.#node(additional, `${path}.additionalProperties`, depth + 1),
    };
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
    if (minItems > MAX_REPETITIONS) this.#notHeld("minItems", path);
    return {
      kind: "array",
      prefix,
      items: rest === false ? null : this.#node(rest, `${path}.items`, depth + 1),
      minItems: Math.min(minItems, MAX_REPETITIONS),
      maxItems: maxItems === null ? null : Math.min(maxItems, MAX_REPETITIONS),
    };
  }

  #reference(ref: unknown, path: string, depth: number): SchemaNode {
    const target = typeof ref === "string" ? this.#lookUp(ref) : undefined;
    if (typeof ref !== "string" || target === undefined) {
      throw invalidRequest(`${this.#options.where}${path}: "$ref" names nothing in this schema`);
    }
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
    if (parts.length === 1 && isRecord(parts[0])) {
      return { ...beside, ...parts[0], ...withPatterns(beside, parts[0]) };
    }
    let merged: RawSchema = beside;
    for (const part of parts) {
      const target: unknown =
        isRecord(part) && typeof part["$ref"] === "string" ? this.#lookUp(part["$ref"]) : part;
      if (!isRecord(target) || target["allOf"] !== undefined || target["$ref"] !== undefined) {
        this.#notHeld("allOf", path);
        continue;
      }
      merged = mergeObjects(merged, target);
    }
    return merged;
  }

  #notHeld(keyword: string, path: string, reason = ""): void {
    if (!this.#options.strict) return;
    const why = reason === "" ? "" : `: ${reason}`;
    throw unsupported(
      `${this.#options.where}${path}: the keyword "${keyword}" cannot be enforced with "strict"${why}`,
    );
  }
}

function literals(values: readonly unknown[]): JsonValue[] {
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
