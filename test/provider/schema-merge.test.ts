import { describe, expect, it } from "vitest";

import { parseJsonSchema } from "../../provider/src/schema/json-schema.ts";
import { schemaGrammar } from "../../provider/src/schema/schema-grammar.ts";
import { grammarJudge } from "./grammar-judge.ts";

/** What several schemas ask of one value, together: all of it is held, or a strict one is refused by the keyword that is not. */

const compile = grammarJudge();

const read = (schema: unknown, strict: boolean) => parseJsonSchema(schema, { strict, where: "schema" });

const integer = { type: "integer" };
const named = { type: "object", properties: { id: integer }, required: ["id"], additionalProperties: false };
const orNode = {
  $defs: {
    node: { ...named, properties: { id: integer, next: { $ref: "#/$defs/node", required: ["id"] } } },
  },
};

/** Each of it asks for more than the definition that it is of. */
const endless = { ...named, properties: { id: integer, next: { $ref: "#/$defs/node", required: ["next"] } } };

describe.each([true, false])("schemas that meet (strict: %s)", (strict) => {
  it.each<[string, unknown, string[], string[]]>([
    [
      "required beside anyOf",
      {
        type: "object",
        properties: { id: integer, a: integer, b: integer },
        required: ["id"],
        anyOf: [{ required: ["a"] }, { required: ["b"] }],
      },
      ['{"id":1,"a":1}', '{"id":1,"b":1}'],
      ['{"a":1}', '{"b":1}', '{"id":1}'],
    ],
    [
      "properties beside anyOf",
      { ...named, additionalProperties: undefined, anyOf: [{ properties: { y: integer }, required: ["y"] }] },
      ['{"id":1,"y":2}'],
      ['{"y":2}', '{"id":1}'],
    ],
    [
      "a property in two parts of an allOf",
      { allOf: [named, { properties: { id: { minimum: 3 } } }] },
      ['{"id":3}', '{"id":40}'],
      ['{"id":2}', '{"id":3.5}', "{}"],
    ],
    [
      "bounds in two parts of an allOf",
      { allOf: [{ minimum: 5 }, { ...integer, minimum: 3, maximum: 9 }] },
      ["5", "9"],
      ["4", "10"],
    ],
    [
      "the bound of what contains an allOf",
      { ...integer, maximum: 2, allOf: [{ maximum: 4 }, { minimum: 0 }] },
      ["2"],
      ["3", "-1"],
    ],
    [
      "an allOf in an allOf",
      { allOf: [{ allOf: [{ ...integer, minimum: 5 }] }, { maximum: 6 }] },
      ["5", "6"],
      ["4", "7"],
    ],
    [
      "types of which one is the narrower",
      { type: "number", allOf: [{ type: ["integer", "null"] }] },
      ["1"],
      ["1.5", "null"],
    ],
    [
      "literals of which some are in both",
      { enum: ["a", "b"], allOf: [{ enum: ["b", "c"] }] },
      ['"b"'],
      ['"a"', '"c"'],
    ],
    [
      "lengths beside a reference",
      { $defs: { text: { type: "string", maxLength: 3 } }, $ref: "#/$defs/text", minLength: 2 },
      ['"ab"', '"abc"'],
      ['"a"', '"abcd"'],
    ],
    [
      "notes and the same type beside a reference",
      { ...orNode, $ref: "#/$defs/node", type: "object", description: "the first" },
      ['{"id":1,"next":{"id":2}}'],
      ['{"next":{"id":2}}'],
    ],
    ["fewer items than have a place", { prefixItems: [integer, integer], maxItems: 1 }, ["[1]"], ["[1,2]"]],
  ])("hold %s", async (_, schema, follow, differ) => {
    const follows = await compile(schemaGrammar(read(schema, strict)));
    expect(follow.filter((text) => !follows(text))).toStrictEqual([]);
    expect(differ.filter((text) => follows(text))).toStrictEqual([]);
  });

  it.each<[string, unknown]>([
    ["a list of more items than it may have", { type: "array", minItems: 3, maxItems: 2 }],
    ["a list of more items than it has places", { prefixItems: [integer], items: false, minItems: 2 }],
    ["an enum that is no list", { enum: "a" }],
  ])("are refused if they want %s", (_, schema) => {
    expect(() => read(schema, strict)).toThrow(expect.objectContaining({ code: "invalid_request" }));
  });
});

it.each<[string, unknown]>([
  ["minLength", { type: "string", enum: ["a", "bb"], minLength: 2 }],
  ["type", { type: "integer", enum: [1, "a"] }],
  ["maximum", { const: 5, maximum: 3 }],
  ["enum", { const: 5, enum: [3, 4] }],
  ["items", { type: "array", items: integer, allOf: [{ items: [integer] }] }],
  ["type", { allOf: [{ type: "string" }, integer] }],
  ["const", { allOf: [{ const: 1 }, { const: 2 }] }],
  ["format", { type: "string", allOf: [{ format: "date" }, { format: "time" }] }],
  ["anyOf", { anyOf: [integer], allOf: [{ anyOf: [{ type: "null" }] }] }],
  ["required", { $ref: "#/$defs/node", $defs: { node: endless } }],
])("by its keyword %s a strict schema is refused that cannot be held", async (keyword, schema) => {
  expect(() => read(schema, true)).toThrow(`"${keyword}"`);
  await expect(compile(schemaGrammar(read(schema, false)))).resolves.toBeTypeOf("function");
});

it("takes a literal that is said twice, as Pydantic does", async () => {
  const follows = await compile(schemaGrammar(read({ type: "string", const: "b", enum: ["b"] }, true)));
  expect([follows('"b"'), follows('"a"')]).toStrictEqual([true, false]);
});

it("takes null among literals of a type that is nullable, and a format beside them", () => {
  const schema = { type: "string", nullable: true, format: "enum", enum: ["a", null] };
  expect(() => read(schema, true)).not.toThrow();
});

it("gives no further property the name of one that has a schema, if it is strict", async () => {
  const schema = {
    ...named,
    properties: { id: integer, "a.b": integer },
    additionalProperties: { type: "string" },
  };
  const follows = await compile(schemaGrammar(read(schema, true)));
  expect(follows('{"id":1,"idx":"x","axb":"y"}')).toBe(true);
  expect(follows('{"id":1,"id":"x"}')).toBe(false);
  expect(follows('{"id":1,"a.b":"x"}')).toBe(false);
});

it("refuses an allOf of more parts than a schema may have", () => {
  const allOf = Array.from({ length: 5000 }, (_, index) => ({ required: [`p${index}`] }));
  expect(() => read({ allOf }, false)).toThrow("too large");
});

it("reads thousands of parts with thousands of properties", () => {
  const allOf = Array.from({ length: 1500 }, (_, index) => ({ properties: { [`p${index}`]: {} } }));
  const properties = Object.fromEntries(Array.from({ length: 1000 }, (_, index) => [`q${index}`, {}]));
  const { root } = read({ type: "object", properties, allOf }, true);
  expect(root.kind === "object" && root.properties.length).toBe(2500);
});
