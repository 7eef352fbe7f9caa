import { describe, expect, it } from "vitest";

import { larkPattern } from "../../worker/openai/lark-grammar.ts";
import { join } from "./fake-provider.ts";
import { errorOf, scene } from "./scene.ts";
import { post } from "./translation-scene.ts";

const takes = (grammar: string, text: string): boolean =>
  new RegExp(`^(?:${larkPattern(grammar)})$`, "u").test(text);

/** Of files with lines to add or to take away, as coding agents describe patches. */
const PATCH = String.raw`
// A patch.
start: begin file+ end
begin: "*** Begin" LF
end: "*** End" LF?
file: added
    | changed
added: "*** Add: " name LF add_line+   // at least one
changed: "*** Change: " name LF move? change?
move: "*** Move to: " name LF
change: (context | line)+ [eof]
context: ("@@" | "@@ " /(.+)/) LF
line: ("+" | "-" | " ") /(.*)/ LF
add_line: "+" /(.*)/ LF -> line
eof: "*** End of File" LF
name: /(.+)/
%import common.LF
`;

/** Each refers to the next. */
function rulesInARow(count: number): string {
  const rules = Array.from({ length: count }, (_, at) => `a${at}: a${at + 1}`);
  return ["start: a0", ...rules, `a${count}: /a/`].join("\n");
}

describe("a Lark grammar as a pattern", () => {
  it.each<[string, boolean]>([
    ["*** Begin\n*** Add: a.ts\n+one\n+\n*** End", true],
    ["*** Begin\n*** Change: a\n*** Move to: b\n@@ f\n-x\n+y\n z\n*** End of File\n*** End\n", true],
    ["*** Begin\n*** Change: a\n*** Add: b\n+é🎭\n*** End", true],
    ["*** Begin\n*** Add: a.ts\n*** End", false],
    ["*** Begin\n*** End", false],
    ["*** Begin\n*** Change: a\nx\n*** End", false],
  ])("takes patches and nothing else: %j is %s", (text, isPatch) => {
    expect(takes(PATCH, text)).toBe(isPatch);
  });

  it.each<[string, string[], string[]]>([
    [String.raw`start: "a.\"\\\n" | "b"`, ['a."\\\n', "b"], ["ax", ""]],
    [`start: ("a" | "b")* "c"~2 "d"~1..3`, ["ccd", "abccddd"], ["cd", "ccdddd"]],
    [`start: "0".."9" A+\nA: "é".."ü"`, ["5éü"], ["é5", "5"]],
    [
      String.raw`start: /[ \t]*\/\/ x[^\r\n]*/ N | "http://" ?// so` + "\nN: /\\r?\\n/",
      [" // xy\n", "", "http://"],
      ["/"],
    ],
    [
      `?start: INT WS_INLINE word\n!word.2: CNAME\n%import common.INT\n%import common.CNAME\n%import common.WS_INLINE`,
      ["12 a_1"],
      ["a 1"],
    ],
    [`start: N\n%import common.NEWLINE -> N`, ["\n", "\r\n\n"], [""]],
  ])("reads %j", (grammar, match, differ) => {
    expect(match.filter((text) => !takes(grammar, text))).toStrictEqual([]);
    expect(differ.filter((text) => takes(grammar, text))).toStrictEqual([]);
  });

  it("may be nested, within brackets and from rule to rule", () => {
    expect(takes(`start: ${"(".repeat(60)}/a/${")".repeat(60)}`, "a")).toBe(true);
    expect(takes(rulesInARow(60), "a")).toBe(true);
  });

  it.each([
    ["start: item\nitem: item item | /a/", 'rule "item" refers to itself'],
    ["begin: /a/", 'no rule "start"'],
    ["start: other", 'no rule "other"'],
    ["start: /a/\nstart: /b/", "two rules"],
    ["start: /a/\n%ignore /b/", "%ignore"],
    ["start: /a/\n%import common.ESCAPED_STRING", "common.ESCAPED_STRING"],
    ["start: /a/i", '"i"'],
    ['start: "a"i', "upper or lower"],
    ['start: "\\x41"', "escapes"],
    ['start: "a', "without an end"],
    [`start: ${"/a/ ".repeat(400)}`, "line that is too long"],
    ["// x\n".repeat(5000), "too large"],
    ["start: (/a/", 'lacks a ")"'],
    ["start: /a/)", "too many"],
    ["start: * /a/", "where something should stand"],
    ["start: x{/a/}\nx: /b/", "templates"],
    ['start: "ab".."c"', "range of other than characters"],
    ['start: "a"..b\nb: /c/', "range of other than characters"],
    ["start: /a/~b\nb: /c/", '"~" without a number'],
    ["start: /a/ & /b/", '& /b/", which is not supported'],
    [`start: ${"(".repeat(100)}/a/${")".repeat(100)}`, "nested too deeply"],
    [rulesInARow(100), "nested too deeply"],
    [`start: ${Array.from({ length: 9 }, () => "a").join(" | ")}\na: /${"b".repeat(1000)}/`, "too large"],
    [`start: ${Array.from({ length: 9 }, () => "a").join(" ")}\na: /${"b".repeat(1000)}/`, "too large"],
    [
      [
        "start: a0",
        ...Array.from({ length: 30 }, (_, at) => `a${at}: a${at + 1} a${at + 1}`),
        "a30: /a/",
      ].join("\n"),
      "too large",
    ],
  ])("refuses %j", (grammar, why) => {
    expect(() => larkPattern(grammar)).toThrow(why);
  });
});

describe("a custom tool with a grammar", () => {
  const custom = (format: object) => [
    { type: "custom", name: "apply", description: "Changes files.", format },
  ];

  it("is shown to the machine as a function of a text with a pattern, and described", async () => {
    const at = await scene();
    const machine = await join(at);
    const definition = 'start: "a"+';
    const tools = [
      ...custom({ type: "grammar", syntax: "lark", definition }),
      { type: "custom", name: "count", format: { type: "grammar", syntax: "regex", definition: "1|2" } },
    ];
    const pending = post(at, { input: "hi", tools });
    const request = await machine.next("inference_request");
    const shown = (request["body"] as { tools: unknown })["tools"];
    const parameters = (pattern: string) => ({ properties: { input: { type: "string", pattern } } });
    expect(shown).toMatchObject([
      {
        function: {
          name: "apply",
          description: `Changes files.\n\nThe input follows this grammar (lark):\n${definition}`,
          parameters: parameters("^(?:(?:a)+)$"),
          strict: true,
        },
      },
      { function: { name: "count", parameters: parameters("^(?:1|2)$"), strict: true } },
    ]);
    machine.answer(request, JSON.stringify({ choices: [] }));
    expect(await (await pending).json()).toMatchObject({ tools });
  });

  it.each([
    [{ type: "grammar", syntax: "lark", definition: "start: start" }, "definition", "unsupported"],
    [{ type: "grammar", syntax: "ebnf", definition: "a" }, "syntax", "unsupported"],
    [{ type: "tree" }, "type", "unsupported"],
    [{ type: "grammar", syntax: "lark" }, "definition", "invalid_request"],
  ])("is refused if the grammar is none, or cannot be held: %j", async (format, field, code) => {
    const response = await post(await scene(), { input: "hi", tools: custom(format) });
    const param = `tools[0].format.${field}`;
    expect(await errorOf(response)).toMatchObject({ status: 400, code, param });
  });
});
