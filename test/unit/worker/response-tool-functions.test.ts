import { describe, expect, it } from "vitest";

import { chatOf, refusalOf } from "../../support/responses.ts";

/** The functions that tools of the Responses API become, as a machine is shown them, and what is refused instead. */

const LOOK = { type: "function", name: "look" };
const SAY = { type: "custom", name: "say" };
const TREES = {
  type: "namespace",
  name: "trees",
  description: "Knows trees.",
  tools: [LOOK, { ...SAY, description: "says" }, { ...LOOK, name: "hear", description: "hears" }],
};

const shown = (name: string, fields: object = {}) => ({ type: "function", function: { name, ...fields } });
/** What a custom tool is shown as. */
const takesText = (input: object = {}) => ({
  strict: true,
  parameters: {
    type: "object",
    properties: { input: { type: "string", ...input } },
    required: ["input"],
    additionalProperties: false,
  },
});
const grammar = (syntax: string, definition: string) => ({ type: "grammar", syntax, definition });
const allowed = (tools: object[], fields: object = {}) => ({ type: "allowed_tools", tools, ...fields });
const many = (count: number): object[] => Array.from({ length: count }, () => LOOK);

describe("a tool", () => {
  it.each<[string, object, object]>([
    ["with nothing but its name", LOOK, shown("look")],
    [
      "with nulls",
      { ...LOOK, description: null, parameters: null, strict: null, format: null },
      shown("look"),
    ],
    [
      "with all that it may have",
      {
        ...LOOK,
        description: "looks",
        parameters: { type: "object" },
        strict: false,
        format: grammar("x", "y"),
      },
      shown("look", { description: "looks", parameters: { type: "object" }, strict: false }),
    ],
    ["with an empty description", { ...LOOK, description: "" }, shown("look")],
    ["that takes text", SAY, shown("say", takesText())],
    [
      "that takes text of any kind",
      { ...SAY, description: "says", format: { type: "text" } },
      shown("say", { description: "says", ...takesText() }),
    ],
    [
      "that takes text of a pattern",
      { ...SAY, description: "says", format: grammar("regex", "a|b") },
      shown("say", {
        description: "says\n\nThe input follows this grammar (regex):\na|b",
        ...takesText({ pattern: "^(?:a|b)$" }),
      }),
    ],
    [
      "that takes text of a grammar",
      { ...SAY, format: grammar("lark", 'start: "a"') },
      shown("say", {
        description: 'The input follows this grammar (lark):\nstart: "a"',
        ...takesText({ pattern: "^(?:a)$" }),
      }),
    ],
  ])("%s is a function", (_, tool, expected) => {
    expect(chatOf({ tools: [tool] })["tools"]).toEqual([expected]);
  });

  it("of a namespace is one beside the others, and the first tells what they are about", () => {
    const bare = { type: "namespace", name: "bare__", tools: [LOOK] };
    const empty = [
      { type: "namespace", name: "none" },
      { type: "namespace", name: "none", tools: [] },
    ];
    expect(chatOf({ tools: [...empty, TREES, bare, LOOK] })["tools"]).toEqual([
      shown("trees__look", { description: "Knows trees." }),
      shown("trees__say", { description: "says", ...takesText() }),
      shown("trees__hear", { description: "hears" }),
      shown("bare__look"),
      shown("look"),
    ]);
    const described = { ...TREES, tools: [{ ...LOOK, description: "looks" }] };
    expect(chatOf({ tools: [described] })["tools"]).toEqual([
      shown("trees__look", { description: "Knows trees.\n\nlooks" }),
    ]);
  });

  it.each<[object[], string, string, string]>([
    [[LOOK, { type: "function" }], "invalid_request", "tools[1].name", "a tool needs a name"],
    [[{ type: "custom" }], "invalid_request", "tools[0].name", "a tool needs a name"],
    [[{ type: "namespace", tools: [LOOK] }], "invalid_request", "tools[0].name", "a namespace needs a name"],
    [
      [{ type: "namespace", name: "a", tools: [LOOK, SAY, {}] }],
      "invalid_request",
      "tools[0].tools[2].type",
      "",
    ],
    [
      [{ type: "namespace", name: "a", tools: [LOOK, { type: "mcp" }] }],
      "unsupported",
      "tools[0].tools[1].type",
      "mcp is not supported",
    ],
    [[{ type: "web_search" }], "unsupported", "tools[0].type", "web_search is not supported"],
    [[{ type: "web_search" }, LOOK, { type: "mcp" }], "unsupported", "tools[2].type", "mcp is not supported"],
    [[LOOK, { type: "my_web_search" }], "unsupported", "tools[1].type", "my_web_search is not supported"],
    [[{ ...SAY, format: { type: "json" } }], "unsupported", "tools[0].format.type", "json is not supported"],
    [
      [{ ...SAY, format: { type: "grammar", syntax: "lark" } }],
      "invalid_request",
      "tools[0].format.definition",
      "is missing",
    ],
    [
      [{ ...SAY, format: grammar("ebnf", "a") }],
      "unsupported",
      "tools[0].format.syntax",
      "is neither regex nor lark",
    ],
    [
      [{ ...SAY, format: grammar("lark", "start: start") }],
      "unsupported",
      "tools[0].format.definition",
      "the grammar cannot be held: ",
    ],
    [
      [{ type: "namespace", name: "many", tools: many(128) }, LOOK],
      "invalid_request",
      "tools",
      "must have at most 128 entries, those of namespaces included",
    ],
    [many(129), "invalid_request", "tools", "must have at most 128 entries"],
  ])("is refused by its place: %j", (tools, code, param, why) => {
    expect(refusalOf({ tools })).toMatchObject({
      code,
      param,
      message: expect.stringContaining(`${param}: ${why}`) as string,
    });
  });

  it("that coding agents offer everywhere is left out beside others, of which there may be as many as in a chat", () => {
    const hosted = ["web_search", "web_search_preview_2025", "image_generation"].map((type) => ({ type }));
    expect(chatOf({ tools: [...hosted, LOOK] })["tools"]).toEqual([shown("look")]);
    expect(chatOf({ tools: [{ type: "namespace", name: "many", tools: many(127) }, LOOK] })).toHaveProperty(
      "tools.length",
      128,
    );
  });
});

describe("the choice of a tool", () => {
  const tools = [LOOK, SAY, TREES];
  const all = ["look", "say", "trees__look", "trees__say", "trees__hear"];
  const one = (name: string) => ({ type: "function", function: { name } });

  it.each<[unknown, unknown, string[]]>([
    [undefined, undefined, all],
    [null, undefined, all],
    ["auto", "auto", all],
    ["none", "none", all],
    ["required", "required", all],
    [LOOK, one("look"), all],
    [SAY, one("say"), all],
    [{ ...LOOK, namespace: "trees" }, one("trees__look"), all],
    [{ ...LOOK, namespace: null }, one("look"), all],
    [{ type: "function", name: "hear" }, one("trees__hear"), all],
    // A machine says what is wrong with it.
    [{ type: "function", name: "smell" }, one("smell"), all],
    [allowed([SAY, LOOK]), "auto", ["look", "say", "trees__look", "trees__say"]],
    [allowed([{ ...LOOK, namespace: "trees" }], { mode: "required" }), "required", ["trees__look"]],
    [allowed([{ type: "namespace", name: "trees" }], { mode: "auto" }), "auto", all.slice(2)],
    [{ type: "allowed_tools" }, "auto", []],
  ])("%j is a chat's", (tool_choice, expected, names) => {
    const chat = chatOf({ tools, tool_choice });
    expect(chat["tool_choice"]).toEqual(expected);
    expect(chat["tools"]).toMatchObject(names.map((name) => ({ function: { name } })));
    expect(chat["tools"]).toHaveLength(names.length);
  });

  it.each([true, false])("goes with whether calls may be made together: %j", (parallel_tool_calls) => {
    expect(chatOf({ tools, parallel_tool_calls })).toMatchObject({ parallel_tool_calls });
    expect(chatOf({ tools })).not.toHaveProperty("parallel_tool_calls");
    expect(chatOf({ tools, parallel_tool_calls: null })).toEqual(chatOf({ tools }));
  });

  it.each(["auto", "none"])("is nothing if there are no tools: %s", (tool_choice) => {
    const plain = chatOf({});
    expect(chatOf({ tool_choice, parallel_tool_calls: true })).toEqual(plain);
    expect(chatOf({ tool_choice, tools: [] })).toEqual(plain);
  });

  it.each([
    [{ tool_choice: "required" }, "invalid_request", "tool_choice", "there are no tools"],
    [{ tool_choice: LOOK }, "invalid_request", "tool_choice", "there are no tools"],
    [
      { tools, tool_choice: { type: "mcp" } },
      "unsupported",
      "tool_choice",
      "a choice of type mcp is not supported",
    ],
    [
      { tools, tool_choice: allowed(many(129)) },
      "invalid_request",
      "tool_choice.tools",
      "must have at most 128",
    ],
    [{ tools, tool_choice: allowed([], { mode: "none" }) }, "invalid_request", "tool_choice.mode", ""],
  ])("is refused where it cannot be made: %j", (fields, code, param, why) => {
    expect(refusalOf(fields)).toMatchObject({
      code,
      param,
      message: expect.stringContaining(`${param}: ${why}`) as string,
    });
  });
});
