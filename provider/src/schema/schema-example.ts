import type { JsonValue } from "./json-value.ts";
import type { NumberRange } from "./number-grammar.ts";
import type { JsonSchema, SchemaNode, StringNode } from "./schema-node.ts";
import { hasForm, shortestOf } from "./text-form.ts";

/** A small value that follows a JSON Schema, with `text` wherever it may stand: what an engine without a model answers. */
export function exampleOf({ root, definitions }: JsonSchema, text: string): JsonValue {
  return example(root, 0);

  function example(node: SchemaNode, depth: number): JsonValue {
    switch (node.kind) {
      case "any":
        return text;
      case "null":
        return null;
      case "boolean":
        return true;
      case "literals":
        return node.values[0] ?? null;
      case "union":
        // A later option is mostly the plainer one ("or null"); deep down that ends a recursion.
        return example((depth > 4 ? node.options.at(-1) : node.options[0]) ?? { kind: "null" }, depth + 1);
      case "ref":
        return depth > 32 ? null : example(definitions.get(node.name) ?? { kind: "any" }, depth + 1);
      case "number":
        return numberExample(node);
      case "string":
        return stringExample(node, text);
      case "object":
        return Object.fromEntries(
          node.properties
            .filter(({ required }) => required || depth < 4)
            .map(({ name, schema }) => [name, example(schema, depth + 1)]),
        );
      case "array": {
        const prefix = node.prefix.map((item) => example(item, depth + 1));
        const { items } = node;
        const missing = Math.max(0, node.minItems - prefix.length);
        return items === null
          ? prefix
          : [...prefix, ...Array.from({ length: missing }, () => example(items, depth + 1))];
      }
    }
  }
}

function numberExample({ from, to, afterFrom, beforeTo }: NumberRange): number {
  const nearest = Math.min(Math.max(0, from ?? -Infinity), to ?? Infinity);
  if (afterFrom && nearest === from) return nearest + 0.5;
  return beforeTo && nearest === to ? nearest - 0.5 : nearest;
}

const FORMAT_EXAMPLES = [
  "2020-01-31",
  "12:30:00Z",
  "2020-01-31T12:30:00Z",
  "00000000-0000-4000-8000-000000000000",
  "someone@example.com",
  "https://example.com",
  "example.com",
];

function stringExample({ form, minLength, maxLength }: StringNode, text: string): string {
  if (form === null) return text.padEnd(minLength, ".").slice(0, maxLength ?? undefined);
  return [text, ...FORMAT_EXAMPLES].find((example) => hasForm(example, form)) ?? shortestOf(form);
}
