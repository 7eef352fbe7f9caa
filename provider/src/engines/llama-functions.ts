import type { ChatModelFunctions, GbnfJsonSchema } from "node-llama-cpp";

import type { ChatTool } from "../chat/answer-form.ts";
import type { JsonValue } from "../schema/json-value.ts";
import type { JsonSchema, PropertyNode, SchemaNode } from "../schema/schema-node.ts";

/**
 * Tools as the library takes them when the model may call them of its own accord. Its grammar for arguments writes
 * every property, so an optional one is offered as "or null", and the nulls are taken out of the finished call. It
 * knows no bounds of numbers and no patterns.
 */
export function toFunctions(tools: readonly ChatTool[]): ChatModelFunctions {
  return Object.fromEntries(
    tools.map(({ name, description, parameters }) => [
      name,
      takesNothing(parameters) ? { description } : { description, params: toLibrarySchema(parameters) },
    ]),
  );
}

function takesNothing({ root }: JsonSchema): boolean {
  return root.kind === "object" && root.properties.length === 0 && root.additional === null;
}

/** Whether a finished call of the tool may hold nulls that stand for "not given". */
export function hasOptionalProperties({ root, definitions }: JsonSchema): boolean {
  return [root, ...definitions.values()].some(optional);

  function optional(node: SchemaNode): boolean {
    if (node.kind === "union") return node.options.some(optional);
    if (node.kind === "array")
      return node.prefix.some(optional) || (node.items !== null && optional(node.items));
    if (node.kind !== "object") return false;
    return (
      node.properties.some(({ required, schema }) => !required || optional(schema)) ||
      (node.additional !== null && optional(node.additional))
    );
  }
}

/** Leaves out the optional properties that are null, wherever the schema says which they are. */
export function withoutAbsent(value: JsonValue, { root, definitions }: JsonSchema): JsonValue {
  return strip(value, root, 0);

  function strip(at: JsonValue, node: SchemaNode, depth: number): JsonValue {
    if (at === null || typeof at !== "object" || depth > 64) return at;
    if (node.kind === "ref") return strip(at, definitions.get(node.name) ?? { kind: "any" }, depth + 1);
    if (node.kind === "union") {
      return node.options.reduce<JsonValue>((inner, option) => strip(inner, option, depth + 1), at);
    }
    if (isList(at)) {
      if (node.kind !== "array") return at;
      return at.map((item, index) =>
        strip(item, node.prefix[index] ?? node.items ?? { kind: "any" }, depth + 1),
      );
    }
    if (node.kind !== "object") return at;
    const byName = new Map(node.properties.map((property) => [property.name, property]));
    const kept = Object.entries(at).filter(
      ([name, inner]) => inner !== null || byName.get(name)?.required !== false,
    );
    return Object.fromEntries(
      kept.map(([name, inner]) => [
        name,
        strip(inner, byName.get(name)?.schema ?? { kind: "any" }, depth + 1),
      ]),
    );
  }
}

function isList(value: JsonValue): value is readonly JsonValue[] {
  return Array.isArray(value);
}

function toLibrarySchema({ root, definitions }: JsonSchema): GbnfJsonSchema {
  const names = new Map([...definitions.keys()].map((ref, index) => [ref, `d${index}`]));
  const defs = Object.fromEntries(
    [...definitions].map(([ref, node]): [string, GbnfJsonSchema] => [
      names.get(ref) ?? ref,
      convert(node, names),
    ]),
  );
  const schema = convert(root, names);
  return definitions.size === 0 ? schema : { oneOf: [schema], $defs: defs };
}

const ANYTHING: GbnfJsonSchema = {
  oneOf: [
    { type: "object", additionalProperties: true },
    { type: "array" },
    { type: ["string", "number", "boolean", "null"] },
  ],
};

function convert(node: SchemaNode, refs: ReadonlyMap<string, string>): GbnfJsonSchema {
  switch (node.kind) {
    case "any":
      return ANYTHING;
    case "boolean":
    case "null":
      return { type: node.kind };
    case "number":
      return { type: node.integer ? "integer" : "number" };
    case "string":
      if (node.format === "date" || node.format === "time" || node.format === "date-time") {
        return { type: "string", format: node.format };
      }
      return {
        type: "string",
        minLength: node.minLength,
        ...(node.maxLength === null ? {} : { maxLength: node.maxLength }),
      };
    case "literals": {
      const plain = node.values.filter((value) => value === null || typeof value !== "object");
      return plain.length === 0 ? ANYTHING : { enum: plain };
    }
    case "union":
      return { oneOf: node.options.map((option) => convert(option, refs)) };
    case "ref":
      return { $ref: `#/$defs/${refs.get(node.name) ?? ""}` };
    case "object":
      return {
        type: "object",
        properties: Object.fromEntries(
          node.properties.map((property): [string, GbnfJsonSchema] => [
            property.name,
            convertProperty(property, refs),
          ]),
        ),
        additionalProperties: node.additional === null ? false : convert(node.additional, refs),
      };
    case "array":
      return {
        type: "array",
        ...(node.prefix.length === 0 ? {} : { prefixItems: node.prefix.map((item) => convert(item, refs)) }),
        ...(node.items === null ? {} : { items: convert(node.items, refs) }),
        minItems: node.minItems,
        ...(node.maxItems === null ? {} : { maxItems: node.maxItems }),
      };
  }
}

function convertProperty(property: PropertyNode, refs: ReadonlyMap<string, string>): GbnfJsonSchema {
  const schema = convert(property.schema, refs);
  const described: GbnfJsonSchema = property.required ? schema : { oneOf: [schema, { type: "null" }] };
  return property.description === "" ? described : { ...described, description: property.description };
}
