import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { z } from "zod";

import { parseJsonSchema } from "../../provider/src/schema/json-schema.ts";
import { exampleOf } from "../../provider/src/schema/schema-example.ts";
import { schemaGrammar } from "../../provider/src/schema/schema-grammar.ts";
import type { StringNode } from "../../provider/src/schema/schema-node.ts";
import { hasForm, type TextForm } from "../../provider/src/schema/text-form.ts";
import { grammarJudge } from "./grammar-judge.ts";

/** Patterns and formats of strings: in llama.cpp's own reading, in JavaScript's and in Zod's. */

const judge = grammarJudge();

async function compile(schema: object): Promise<(json: string) => boolean> {
  return judge(schemaGrammar(parseJsonSchema(schema, { strict: true, where: "schema" })));
}

function formOf(schema: object): TextForm {
  const { form } = parseJsonSchema(schema, { strict: true, where: "schema" }).root as StringNode;
  if (form === null) throw new Error("the schema has no form");
  return form;
}

const pattern = (source: string, keywords: object = {}) => ({ type: "string", pattern: source, ...keywords });

/** Where the numbers lead, and then to the end as soon as there is one. */
function walk({ states }: TextForm, steps: readonly number[]): string {
  let [at, text, left] = [0, "", [...steps]];
  for (;;) {
    const { ways = [], mayEnd = true } = states[at] ?? {};
    const step = left.pop();
    if (mayEnd && (ways.length === 0 || step === undefined || step % 5 === 0)) return text;
    const towardsEnd = step === undefined ? distances(states) : null;
    const way =
      towardsEnd === null
        ? ways[(step ?? 0) % ways.length]
        : ways.toSorted((one, other) => (towardsEnd[one.to] ?? 0) - (towardsEnd[other.to] ?? 0))[0];
    if (way === undefined) throw new Error("a state without an end");
    const [from, to] = way.chars[(step ?? 0) % way.chars.length] ?? [0, 0];
    text += String.fromCodePoint(from + ((step ?? 0) % (to - from + 1)));
    at = way.to;
  }
}

function distances(states: TextForm["states"]): number[] {
  const far = states.map(({ mayEnd }) => (mayEnd ? 0 : Infinity));
  for (let changed = true; changed;) {
    changed = false;
    for (const [index, { ways }] of states.entries()) {
      const nearest = Math.min(far[index] ?? 0, ...ways.map(({ to }) => (far[to] ?? 0) + 1));
      changed ||= nearest !== far[index];
      far[index] = nearest;
    }
  }
  return far;
}

const steps = fc.array(fc.nat(100_000), { maxLength: 30 });

describe("a string with a pattern", () => {
  it.each<[string, string[], string[]]>([
    ["^[A-Z]{3}$", ["ABC"], ["AB", "ABCD", "abc", ""]],
    ["b", ["b", "abc", "é\n🎭b"], ["", "a"]],
    ["^a|z$", ["a", "abc", "xyz"], ["ba", "zb"]],
    ["^(a|bc)$", ["a", "bc"], ["ab", ""]],
    ["^(?:a$|b)", ["a", "b", "bc"], ["ac"]],
    ["(^|,)x(,|$)", ["x", "a,x", "x,", "b,x,c"], ["ax", "xa"]],
    ["^$", [""], ["a"]],
    ["^(a*)*$", ["", "aaa"], ["b"]],
    ["^(a?b?){2,3}$", ["", "ababab", "aba"], ["abababa"]],
    ["^(?<year>\\d{4})-(\\d\\d)$", ["2024-12"], ["24-12"]],
    ["^\\w+@\\S+?$", ["me@é"], ["@x", "me@a b"]],
    ["^[^\\d\\s]*$", ["a🎭é-"], ["1", "a b"]],
    ["^.$", ["a", "é"], ["🎭", "\n", "ab"]],
    ["^.*$", ["🎭🎭"], ["\n"]],
    ["^[\\s\\S]*$", ["a\n🎭"], []],
    ['^["\\\\/]{3}$', ['"\\/'], ['""']],
    ["^\\n\\t\\u0001\\x41$", ["\n\t\u0001A"], ["nt1A"]],
    ["^\\u00e9\\/$", ["é/"], ["e/"]],
    ["^\\p{Lu}\\p{Ll}*$", ["Éa", "A"], ["ab", "1"]],
    ["^(?!.*foo)(?=.*bar)\\w+$", ["bar", "xbary"], ["foobar", "foo", "x"]],
    ["^a(?!b)", ["a", "acb"], ["ab"]],
    ["^[-a\\]^]+$", ["-]^a"], ["b"]],
    ["^\\+[1-9]\\d{6,14}$", ["+1234567"], ["+0234567", "+123"]],
    [`^${"(?:".repeat(40)}a${"b)".repeat(40)}$`, [`a${"b".repeat(40)}`], ["ab"]],
    ["^a{,2}$", ["a{,2}"], ["aa"]],
  ])("%s is written as the pattern has it", async (source, match, differ) => {
    const follows = await compile(pattern(source));
    expect(match.filter((text) => !follows(JSON.stringify(text)))).toStrictEqual([]);
    expect(differ.filter((text) => follows(JSON.stringify(text)))).toStrictEqual([]);
    const regex = RegExp(source, source.includes("\\p") ? "u" : "");
    expect(match.filter((text) => !regex.test(text))).toStrictEqual([]);
  });

  it("is one that JavaScript matches, and each that it matches", async () => {
    const source = fc.letrec<{ one: string; some: string; any: string }>((tie) => ({
      one: fc.constantFrom("a", "b", "\\d", "[^a]", "[ab-]", ".", '"', "\\\\", "\\n", "é"),
      some: fc.oneof(
        { maxDepth: 3 },
        tie("one"),
        fc.tuple(tie("any"), fc.constantFrom("(", "(?:")).map(([inner, open]) => `${open}${inner})`),
        fc
          .tuple(tie("any"), fc.constantFrom("*", "+", "?", "{2}", "{1,3}", "{2,}", "*?"))
          .map(([inner, times]) => `(?:${inner})${times}`),
        fc.tuple(tie("one"), fc.constantFrom("*", "+", "?", "{2}", "{0,2}")).map((parts) => parts.join("")),
        fc.tuple(fc.constantFrom("(?=", "(?!"), tie("one")).map(([open, inner]) => `${open}${inner})`),
      ),
      any: fc.oneof(
        { maxDepth: 3 },
        tie("some"),
        fc.tuple(tie("some"), tie("any")).map((parts) => parts.join("")),
        fc.tuple(tie("any"), tie("any")).map((parts) => parts.join("|")),
        tie("any").map((inner) => `^${inner}`),
        tie("any").map((inner) => `${inner}$`),
      ),
    })).any;
    const chars = fc.constantFrom("a", "b", "1", "-", '"', "\\", "\n", "é", "x");
    const texts = fc.array(fc.string({ unit: chars, maxLength: 6 }), { minLength: 12, maxLength: 12 });
    let held = 0;
    await fc.assert(
      fc.asyncProperty(
        source,
        texts,
        fc.array(steps, { minLength: 5, maxLength: 5 }),
        async (text, tries, walks) => {
          let form: TextForm;
          try {
            form = formOf(pattern(text));
          } catch {
            return;
          }
          held += 1;
          const [regex, unicode] = [RegExp(text), RegExp(text, "u")];
          const follows = await compile(pattern(text));
          for (const walked of walks.map((way) => walk(form, way))) {
            expect([walked, regex.test(walked), unicode.test(walked)]).toStrictEqual([walked, true, true]);
            expect([walked, follows(JSON.stringify(walked))]).toStrictEqual([walked, true]);
          }
          for (const tried of tries) {
            expect([tried, hasForm(tried, form)]).toStrictEqual([tried, regex.test(tried)]);
            expect([tried, follows(JSON.stringify(tried))]).toStrictEqual([tried, regex.test(tried)]);
          }
        },
      ),
      { numRuns: 150 },
    );
    expect(held).toBeGreaterThan(75);
  });

  it("holds its lengths too", async () => {
    const follows = await compile(pattern("^[a-z]+$", { minLength: 2, maxLength: 3 }));
    expect(["a", "ab", "abc", "abcd", "AB"].map((text) => follows(`"${text}"`))).toStrictEqual([
      false,
      true,
      true,
      false,
      false,
    ]);
    const { form, ...node } = parseJsonSchema(pattern("^.+$", { maxLength: 5000 }), {
      strict: false,
      where: "",
    }).root as StringNode;
    expect(node.maxLength).toBeNull();
    expect(form?.states).toHaveLength(2);
  });

  it("holds each pattern of an allOf, and of an anyOf beside it", async () => {
    const all = await compile({ type: "string", allOf: [{ pattern: "a" }, { pattern: "b" }] });
    expect(["a", "b", "ab", "ba"].map((text) => all(`"${text}"`))).toStrictEqual([false, false, true, true]);
    const any = await compile({
      type: "string",
      pattern: "^a",
      anyOf: [{ pattern: "b$" }, { maxLength: 1 }],
    });
    expect(["a", "b", "ab", "ac"].map((text) => any(`"${text}"`))).toStrictEqual([true, false, true, false]);
  });

  it.each<[string, string, string]>([
    ["looks back", "(?<=a)b", "looks back"],
    ["has a boundary of words", "\\bfoo\\b", "\\b"],
    ["refers back", "(a)\\1", "refers back"],
    ["is none", "(", "no regular expression"],
    ["matches nothing", "^a$b", "no text"],
    ["repeats anchored groups without end", "(?:^a|b)*c", "repeats"],
    ["has too many states", "^(a|b)*a(a|b){12}$", "too many states"],
    ["takes too long", "^(.*X){0,200}$", "too long to understand"],
    ["has too many states of its own", "^(?:.{0,30},){0,30}$", "too many states"],
    ["is nested too deeply", "(".repeat(4000) + ")".repeat(4000), "nested too deeply"],
    ["copies copies", `${"(?:".repeat(12)}a(?=b)${"){8}".repeat(12)}`, "too large"],
    ["is a long text", "a".repeat(10_000), "too long"],
  ])("is refused by reason if the pattern %s and is strict, and else left out", (_, source, reason) => {
    expect(() => formOf(pattern(source))).toThrow('"pattern"');
    expect(() => formOf(pattern(source))).toThrow(reason);
    const { root } = parseJsonSchema(pattern(source), { strict: false, where: "schema" });
    expect(root).toMatchObject({ kind: "string", form: null });
  });

  it("is refused if no text is so long and so short", () => {
    expect(() => formOf(pattern("a", { minLength: 3, maxLength: 2 }))).toThrow('"maxLength"');
  });

  it("is refused if many are too large together", () => {
    const properties = Object.fromEntries(
      Array.from({ length: 40 }, (_, index) => [`p${index}`, pattern(`^${index}.{0,850}$`)]),
    );
    const schema = { type: "object", properties, required: Object.keys(properties) };
    expect(() => parseJsonSchema(schema, { strict: true, where: "schema" })).toThrow("too many states");
    expect(() => parseJsonSchema(schema, { strict: false, where: "schema" })).not.toThrow();
  });
});

const strings = {
  uuid: z.uuid(),
  uuidv7: z.uuidv7(),
  guid: z.guid(),
  datetime: z.iso.datetime(),
  "datetime with an offset": z.iso.datetime({ offset: true, precision: 3 }),
  "local datetime": z.iso.datetime({ local: true }),
  date: z.iso.date(),
  time: z.iso.time(),
  duration: z.iso.duration(),
  email: z.email(),
  "short email": z.email().max(254),
  "email of HTML": z.email({ pattern: z.regexes.html5Email }),
  "email of an RFC": z.email({ pattern: z.regexes.rfc5322Email }),
  "email of before": z.email({
    pattern: /^(?!\.)(?!.*\.\.)([A-Za-z0-9_'+\-.]*)[A-Za-z0-9_+-]@([A-Za-z0-9][A-Za-z0-9-]*\.)+[A-Za-z]{2,}$/,
  }),
  url: z.url(),
  "short url": z.url().max(300),
  hostname: z.hostname(),
  ipv4: z.ipv4(),
  ipv6: z.ipv6(),
  cidrv4: z.cidrv4(),
  cidrv6: z.cidrv6(),
  mac: z.mac(),
  emoji: z.emoji(),
  nanoid: z.nanoid(),
  cuid2: z.cuid2(),
  ulid: z.ulid(),
  e164: z.e164(),
  base64: z.base64(),
  sha256: z.hash("sha256"),
  iban: z.string().regex(z.regexes.iban),
  "three letters": z.string().regex(/^[A-Z]{3}$/),
  "several conditions": z.string().startsWith("x").includes("y").endsWith("z").min(5).max(9),
};

describe("a string as Zod describes it", () => {
  it.each(Object.entries(strings))("that is %s is one that Zod takes", async (_, schema) => {
    const json = z.toJSONSchema(schema);
    const form = formOf(json);
    const follows = await compile(json);
    fc.assert(
      fc.property(steps, (way) => {
        const text = walk(form, way);
        expect([text, schema.safeParse(text).success, follows(JSON.stringify(text))]).toStrictEqual([
          text,
          true,
          true,
        ]);
      }),
    );
    const example = exampleOf(parseJsonSchema(json, { strict: true, where: "" }), "say hi");
    expect(schema.safeParse(example).success).toBe(true);
  });
});

describe("a format alone", () => {
  it.each<[string, string[], string[]]>([
    ["date", ["2024-02-29", "1999-12-31"], ["2023-02-29", "2024-04-31", "0000-01-01", "today"]],
    ["time", ["23:59:00Z", "00:00:00.123456+02:00"], ["24:00:00Z", "12:00:00", "12:00Z"]],
    [
      "date-time",
      ["2024-02-29T23:59:00Z", "2024-01-01T00:00:00.5-08:00"],
      ["2024-02-29", "2024-02-29 23:59:00Z"],
    ],
    ["duration", ["P1Y2M3DT4H5M6S", "PT1S", "P3W"], ["P", "PT", "P1YT", "1Y"]],
    ["uuid", ["123e4567-e89b-12d3-a456-426614174000"], ["123e4567"]],
    [
      "email",
      ["me.you+x@example-1.co.uk"],
      ["me@localhost", ".me@example.com", "me..you@example.com", "@a.com"],
    ],
    ["hostname", ["example.com", "a-1", "localhost"], ["-a.com", "a..b", "a_b", `${"a".repeat(64)}.com`]],
    ["ipv4", ["127.0.0.1", "255.255.255.255"], ["256.0.0.1", "01.2.3.4", "1.2.3"]],
    ["ipv6", ["::", "::1", "2001:db8::ff", "1:2:3:4:5:6:7:8"], ["1::2::3", "1:2:3", "g::"]],
    [
      "uri",
      ["https://example.com/a?b=c&d=%20#e", "http://localhost:3000", "ws://127.0.0.1/"],
      ["example.com", "http://", "http://1.2.3.4.5"],
    ],
    ["url", ["https://example.com"], ["example.com"]],
  ])("%s is written so", async (format, match, differ) => {
    const follows = await compile({ type: "string", format });
    expect(match.filter((text) => !follows(`"${text}"`))).toStrictEqual([]);
    expect(differ.filter((text) => follows(`"${text}"`))).toStrictEqual([]);
  });

  it("is refused if it is not held, unless a pattern says what it is", () => {
    expect(() => formOf({ type: "string", format: "jwt" })).toThrow('"format"');
    expect(() => formOf(pattern("^a$", { format: "letter" }))).not.toThrow();
  });

  it("is refused if a pattern leaves no text of it", () => {
    expect(() => formOf(pattern("^a$", { format: "date" }))).toThrow(
      '"format" cannot be enforced with "strict": no text',
    );
  });
});
