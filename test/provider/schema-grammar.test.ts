import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import { EngineError } from "../../provider/src/engine.ts";
import { parseJsonSchema } from "../../provider/src/schema/json-schema.ts";
import { exampleOf } from "../../provider/src/schema/schema-example.ts";
import {
  forcedCallGrammar,
  jsonOrCallGrammar,
  schemaGrammar,
} from "../../provider/src/schema/schema-grammar.ts";
import type { JsonSchema } from "../../provider/src/schema/schema-node.ts";
import { grammarJudge } from "./grammar-judge.ts";

/** llama.cpp itself says whether a grammar compiles and which texts follow it; no model is needed for that. */

const compile = grammarJudge();

const read = (schema: unknown, strict = false): JsonSchema =>
  parseJsonSchema(schema, { strict, where: "schema" });

const thing = {
  type: "object",
  properties: { a: { type: "integer" }, b: { type: "boolean" }, c: { type: "null" } },
  required: ["b"],
};
const list = (keywords: object) => ({ type: "array", items: { type: "integer" }, ...keywords });
const tree = {
  $defs: {
    node: {
      type: "object",
      properties: { n: { type: "integer" }, next: { $ref: "#/$defs/node" } },
      required: ["n"],
    },
  },
  $ref: "#/$defs/node",
};

describe("the grammar of a JSON Schema", () => {
  it.each<[string, unknown, string[], string[]]>([
    ["strings", { type: "string" }, ['""', '"a\\n\\u00e9 ü🎭"'], ["a", '"', '"\n"', '"\\x"']],
    ["short strings", { type: "string", minLength: 2, maxLength: 3 }, ['"ab"', '"abc"'], ['"a"', '"abcd"']],
    ["dates", { type: "string", format: "date" }, ['"2024-02-29"'], ['"2024-13-01"', '"today"']],
    [
      "times",
      { type: "string", format: "date-time" },
      ['"2024-02-29T23:59:00Z"'],
      ['"2024-02-29"', '"2024-02-29T24:00:00Z"'],
    ],
    ["numbers", { type: "number" }, ["0", "-1.50", "3e8", "12.25E-3"], ["01", ".5", "NaN", "1."]],
    ["integers", { type: "integer" }, ["0", "-12", "999999999999999"], ["1.0", "3e-3", "00"]],
    ["counts", { type: "integer", minimum: 0 }, ["0", "7"], ["-1"]],
    ["positive integers", { type: "integer", exclusiveMinimum: 0 }, ["1", "70"], ["0", "-1"]],
    ["stars", { type: "integer", minimum: 1, maximum: 5 }, ["1", "5"], ["0", "6", "15"]],
    ["a share", { type: "number", minimum: 0, maximum: 1 }, ["0", "0.75", "1", "1.0"], ["1.01", "2", "-0.5"]],
    ["above zero", { type: "number", exclusiveMinimum: 0 }, ["0.01", "1", "40.5"], ["0", "0.0", "-1"]],
    ["below zero", { type: "number", exclusiveMaximum: 0 }, ["-0.01", "-12"], ["0", "-0", "0.5"]],
    ["1000", { type: "integer", minimum: 0, maximum: 1000 }, ["0", "999", "1000"], ["1001", "-1", "00"]],
    ["half an integer", { type: "integer", minimum: 0.5, maximum: 300.5 }, ["1", "300"], ["0", "301"]],
    ["booleans or null", { type: ["boolean", "null"] }, ["true", "null"], ["0", '"true"']],
    ["nullable strings", { type: "string", nullable: true }, ['"x"', "null"], ["0"]],
    [
      "literals",
      { enum: ['a"b', 1, null, { x: [true] }] },
      ['"a\\"b"', "1", "null", '{"x":[true]}'],
      ['"b"', "2"],
    ],
    ["a constant", { const: "go" }, ['"go"'], ['"stop"']],
    ["anyOf", { anyOf: [{ type: "integer" }, { type: "string" }] }, ["1", '"1"'], ["null"]],
    [
      "anyOf with keywords beside it",
      { type: "object", properties: { a: { type: "integer" } }, anyOf: [{ required: ["a"] }] },
      ['{"a":1}'],
      ["{}"],
    ],
    [
      "allOf",
      { allOf: [thing, { properties: { d: { type: "integer" } }, required: ["d"] }] },
      ['{"b":true,"d":1}'],
      ['{"b":true}'],
    ],
    [
      "objects",
      thing,
      [
        '{"b":true}',
        '{"a":1,"b":false,"c":null}',
        '{"a":1, "b":true}',
        '{\n  "b": true\n}',
        '{"b":true,"c":null}',
      ],
      ["{}", '{"a":1}', '{"b":true,}', '{,"b":true}', '{"b":true,"d":1}', '{"b":true "c":null}'],
    ],
    [
      "objects of optional properties",
      { ...thing, required: [] },
      ["{}", '{"a":1}', '{"c":null}', '{"a":1,"c":null}'],
      ['{"c":null,"a":1}', "{,}"],
    ],
    ["objects of anything", { type: "object" }, ["{}", '{"x":{"y":[1,"z"]}}'], ["[]", "1"]],
    ["objects of nothing", { type: "object", properties: {} }, ["{}", "{ }"], ['{"a":1}']],
    [
      "maps",
      { type: "object", additionalProperties: { type: "integer" } },
      ["{}", '{"x":1,"y":2}'],
      ['{"x":"1"}'],
    ],
    [
      "maps with a known key",
      { ...thing, additionalProperties: { type: "string" } },
      ['{"b":true}', '{"b":true,"x":"y"}'],
      ['{"x":"y"}', '{"b":true,"x":1}'],
    ],
    ["lists", list({}), ["[]", "[1]", "[1, 2,3]"], ["[", "[1,]", '["a"]']],
    [
      "lists of two or three",
      list({ minItems: 2, maxItems: 3 }),
      ["[1,2]", "[1,2,3]"],
      ["[]", "[1]", "[1,2,3,4]"],
    ],
    ["lists of one at most", list({ maxItems: 1 }), ["[]", "[1]"], ["[1,2]"]],
    ["empty lists", list({ maxItems: 0 }), ["[]"], ["[1]"]],
    [
      "pairs",
      { prefixItems: [{ type: "integer" }, { type: "string" }], items: false },
      ['[1,"a"]'],
      ["[1]", '[1,"a",2]'],
    ],
    [
      "pairs and more",
      { prefixItems: [{ type: "integer" }], items: { type: "string" }, minItems: 2 },
      ['[1,"a"]', '[1,"a","b"]'],
      ["[1]", "[1,2]"],
    ],
    [
      "a list that refers to itself",
      tree,
      ['{"n":1}', '{"n":1,"next":{"n":2,"next":{"n":3}}}'],
      ['{"next":{"n":1}}'],
    ],
    [
      "the whole as its own part",
      { type: "object", properties: { child: { $ref: "#" } } },
      ["{}", '{"child":{"child":{}}}'],
      ['{"child":1}'],
    ],
    ["anything", {}, ["1", '"x"', "[{}]", "null"], ["", "x"]],
  ])("takes %s and nothing else", async (_, schema, follow, differ) => {
    const follows = await compile(schemaGrammar(read(schema)));
    expect(follow.filter((text) => !follows(text))).toStrictEqual([]);
    expect(differ.filter((text) => follows(text))).toStrictEqual([]);
  });

  it("does not let an answer be filled with blanks", async () => {
    const follows = await compile(schemaGrammar(read(list({}))));
    expect(follows(`[1,${" ".repeat(2)}2]`)).toBe(false);
    expect(follows(`[1,\n${" ".repeat(16)}2]`)).toBe(true);
    expect(follows(`[1,\n${" ".repeat(17)}2]`)).toBe(false);
    expect(follows("[1 ,2]")).toBe(false);
  });

  it("lets blanks be where JSON printers write them, and nowhere else", async () => {
    const schemas = [
      thing,
      { type: "object", additionalProperties: { type: "boolean" } },
      { type: "object" },
    ];
    for (const schema of schemas) {
      const follows = await compile(schemaGrammar(read(schema)));
      for (const text of ['{"b":true}', '{"b": true}', '{ "b": true }', '{\n  "b": true\n}']) {
        expect(follows(text)).toBe(true);
      }
      for (const text of ['{"b":\ntrue}', '{"b":  true}', '{"b" :true}']) expect(follows(text)).toBe(false);
    }
  });

  it("compiles at the limits it sets itself", async () => {
    const schema = {
      type: "object",
      properties: Object.fromEntries(
        Array.from({ length: 20 }, (_, index) => [
          `p${index}`,
          { type: "string", minLength: 5000, maxLength: 5000 },
        ]),
      ),
      additionalProperties: list({ minItems: 5000, maxItems: 5000 }),
    };
    await expect(compile(schemaGrammar(read(schema)))).resolves.toBeTypeOf("function");
  });

  it("takes the example of any schema", async () => {
    const isTaken = async (raw: unknown): Promise<boolean> => {
      const schema = read(raw);
      const follows = await compile(schemaGrammar(schema));
      return follows(JSON.stringify(exampleOf(schema, 'say "hi"\n')));
    };
    const outcome = await fc.check(fc.asyncProperty(anySchema, isTaken), { numRuns: 200 });
    expect(outcome.failed ? fc.defaultReportMessage(outcome) : "no counterexample").toBe("no counterexample");
  });
});

const { schema: anySchema } = fc.letrec<{ schema: unknown }>((tie) => ({
  schema: fc.oneof(
    { maxDepth: 4, depthSize: "small" },
    fc.constantFrom<unknown>(
      {},
      true,
      { type: "null" },
      { type: ["boolean", "string"] },
      { type: "integer", minimum: 0 },
    ),
    fc.record({ type: fc.constant("string"), minLength: fc.nat(20) }),
    fc.record({ enum: fc.array(fc.jsonValue({ maxDepth: 1 }), { minLength: 1, maxLength: 3 }) }),
    fc.record({ anyOf: fc.array(tie("schema"), { minLength: 1, maxLength: 3 }) }),
    fc.record({
      type: fc.constant("array"),
      items: tie("schema"),
      minItems: fc.nat(3),
      maxItems: fc.integer({ min: 3, max: 5 }),
    }),
    fc.dictionary(fc.string({ maxLength: 6 }), tie("schema"), { maxKeys: 4 }).chain((properties) =>
      fc.record({
        type: fc.constant("object"),
        properties: fc.constant(properties),
        required: fc.subarray(Object.keys(properties)),
        additionalProperties: fc.constantFrom(true, false),
      }),
    ),
  ),
}));

describe("numbers between two bounds", () => {
  it("are those and no others", async () => {
    const whole = fc.integer({ min: -1200, max: 1200 });
    const written = fc.tuple(fc.constantFrom("", "-"), fc.nat(1300), fc.constantFrom("", ".0", ".5", ".001"));
    const fields = fc.record({ low: whole, size: fc.nat(600), flags: fc.tuple(fc.boolean(), fc.boolean()) });
    const texts = fc.array(written, { minLength: 30, maxLength: 30 });
    await fc.assert(
      fc.asyncProperty(fields, fc.boolean(), texts, async ({ low, size, flags }, integer, tries) => {
        const high = low + size + 2;
        const [afterLow, beforeHigh] = flags;
        const schema = {
          type: integer ? "integer" : "number",
          [afterLow ? "exclusiveMinimum" : "minimum"]: low,
          [beforeHigh ? "exclusiveMaximum" : "maximum"]: high,
        };
        const follows = await compile(schemaGrammar(read(schema, true)));
        const near = [low, high].flatMap((bound) => [bound - 1, bound - 0.5, bound, bound + 0.5, bound + 1]);
        for (const text of [...near.map(String), ...tries.map((parts) => parts.join(""))]) {
          const value = Number(text);
          const isIn = (afterLow ? value > low : value >= low) && (beforeHigh ? value < high : value <= high);
          // An integer from a short list is written as it is.
          const isPlain = integer ? /^-?\d+$/.test(text) && text !== "-0" : true;
          if (text === "-0" || text === "-0.0") continue;
          expect([text, follows(text)]).toStrictEqual([text, isIn && isPlain]);
        }
        expect(follows(JSON.stringify(exampleOf(read(schema, true), "x")))).toBe(true);
      }),
      { numRuns: 60 },
    );
  });

  it("are refused if there is none", () => {
    expect(() => read({ type: "number", minimum: 2, maximum: 1 })).toThrow("no number between");
    expect(() => read({ type: "number", minimum: 1, exclusiveMaximum: 1 })).toThrow("no number between");
  });
});

describe("the grammar of a forced call", () => {
  it("takes a call of one of the tools with its own arguments", async () => {
    const follows = await compile(
      forcedCallGrammar([
        { name: "get", parameters: read(thing) },
        { name: "put_2", parameters: read({ type: "object", properties: {} }) },
      ]),
    );
    expect(follows('{"name": "get", "arguments": {"b":true}}')).toBe(true);
    expect(follows('{"name": "put_2", "arguments": {}}')).toBe(true);
    expect(follows('{"name": "put_2", "arguments": {"b":true}}')).toBe(false);
    expect(follows('{"name": "drop", "arguments": {}}')).toBe(false);
  });
});

describe("the grammar of JSON or a call", () => {
  it("takes what the schema takes, and behind the mark a call", async () => {
    const call = '{"name": "get", "arguments": {"b":true}}';
    const tools = [{ name: "get", parameters: read(thing) }];
    const follows = await compile(jsonOrCallGrammar(read(tree), tools));
    expect(follows(`call ${call}`)).toBe(true);
    expect(follows('{"n":1,"next":{"n":2}}')).toBe(true);
    expect(follows(call)).toBe(false);
    expect(follows('call {"n":1}')).toBe(false);
    const anything = await compile(jsonOrCallGrammar(read({}), tools));
    expect(anything(call)).toBe(true);
    expect(anything("call ")).toBe(false);
  });
});

describe("a schema that a grammar cannot hold", () => {
  const inObject = (keywords: object) => ({ type: "object", properties: { x: keywords }, required: ["x"] });

  it.each<[string, object]>([
    ["pattern", { type: "string", pattern: "\\bword" }],
    ["pattern", { pattern: "^a", enum: ["a", "b"] }],
    ["format", { type: "string", format: "iri" }],
    ["minLength", { type: "string", minLength: 5000 }],
    ["minimum", { type: "number", minimum: 3.5 }],
    ["exclusiveMinimum", { type: "number", exclusiveMinimum: 0.5 }],
    ["maximum", { type: "number", minimum: 0, maximum: 0.5 }],
    ["multipleOf", { type: "integer", multipleOf: 5 }],
    ["uniqueItems", list({ uniqueItems: true })],
    ["patternProperties", { type: "object", patternProperties: { "^a": {} } }],
    ["not", { not: { type: "string" } }],
    ["if", { if: {}, else: {} }],
  ])("is refused by its keyword %s if it is strict, and else approximated", async (keyword, schema) => {
    expect(() => read(inObject(schema), true)).toThrow(`"${keyword}"`);
    expect(() => read(inObject(schema), true)).toThrow("schema.properties.x");
    await expect(compile(schemaGrammar(read(inObject(schema))))).resolves.toBeTypeOf("function");
  });

  it("is not one with the bounds that generators write for any integer", () => {
    const bounds = { minimum: Number.MIN_SAFE_INTEGER, maximum: Number.MAX_SAFE_INTEGER };
    expect(() => read(inObject({ type: "integer", ...bounds }), true)).not.toThrow();
  });

  it.each<[string, unknown]>([
    ["is no object", "string"],
    ["has an unknown type", { type: "text" }],
    ["refers to nothing", { $ref: "#/$defs/nothing" }],
    ["refers to nothing, in an odd spelling", { $defs: {}, $ref: "#/$defs/100%" }],
    ["refers to another document", { $ref: "https://example.com/schema.json" }],
    [
      "is nested too deeply",
      Array.from({ length: 100 }).reduce<unknown>((inner) => ({ type: "array", items: inner }), {}),
    ],
    ["is too large", { enum: undefined, anyOf: Array.from({ length: 5000 }, () => ({ type: "null" })) }],
  ])("is refused as a wrong request if it %s", (_, schema) => {
    expect(() => read(schema)).toThrow(EngineError);
    expect(() => read(schema)).toThrow(expect.objectContaining({ class: "client", code: "invalid_request" }));
  });

  it("is told which types there are if it has another", () => {
    expect(() => read({ type: "text" })).toThrow('there are "string", "number"');
  });
});
