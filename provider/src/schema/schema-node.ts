import type { StringFormat } from "./format-patterns.ts";
import type { JsonValue } from "./json-value.ts";
import type { NumberRange } from "./number-grammar.ts";
import type { TextForm } from "./text-form.ts";

/** The parsed form of a JSON Schema, from which grammars, function signatures and examples are made. */

export interface JsonSchema {
  readonly root: SchemaNode;
  /** The targets of `ref` nodes: the schema's definitions, and the whole schema under `#`. */
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
  /** Pattern, format and lengths combined; null if there are only lengths. */
  readonly form: TextForm | null;
}

export interface ObjectNode {
  readonly kind: "object";
  readonly properties: readonly PropertyNode[];
  /** Schema of further properties; null if there must be none. */
  readonly additional: SchemaNode | null;
  /** What the keys of further properties are; null = anything. */
  readonly extraKeys: TextForm | null;
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
  /** Schema of the items after the prefix; null if there must be none. */
  readonly items: SchemaNode | null;
  /** Of the whole array, prefix included. */
  readonly minItems: number;
  readonly maxItems: number | null;
}
