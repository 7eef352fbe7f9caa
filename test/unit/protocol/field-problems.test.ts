import { expect, it } from "vitest";
import { z } from "zod";

import { fieldProblems, firstProblem } from "../../../protocol/field-problems.ts";

const content = z.union([z.string(), z.array(z.strictObject({ type: z.string() })), z.null()]);
const schema = z.strictObject({
  text: z.string().min(1).max(3).optional(),
  number: z.number().gt(0).max(9).optional(),
  whole: z.int().min(2).lt(9).optional(),
  flag: z.boolean().optional(),
  list: z.array(z.string()).min(2).max(3).optional(),
  object: z.strictObject({ inner: z.number() }).optional(),
  map: z.record(z.string().regex(/^a$/, "must be called a"), z.number()).optional(),
  word: z.enum(["on", "off"]).optional(),
  only: z.literal(1).optional(),
  own: z.literal(1, { error: "only 1 is supported" }).optional(),
  content: content.optional(),
  kind: z
    .discriminatedUnion("type", [z.object({ type: z.literal("a") }), z.object({ type: z.literal("b") })])
    .optional(),
  choice: z.union([z.enum(["auto", "none"]), z.object({ type: z.string() })]).optional(),
  texts: z.union([z.string().min(1), z.array(z.string()).max(2), z.strictObject({})]).optional(),
  ownTexts: z.union([z.string(), z.array(z.string()).max(2)], { error: "must be a few texts" }).optional(),
  onOrTexts: z.union([z.literal("on"), z.array(z.string()).max(2)]).optional(),
});

it.each<[unknown, string, string]>([
  [[], "", "must be an object, not a list"],
  [null, "", "must be an object, not null"],
  [{ colour: 1 }, "colour", "there is no such field; leave it out"],
  [{ txt: "a" }, "txt", "there is no such field; did you mean text?"],
  [{ object: { iner: 1 } }, "object.iner", "there is no such field; did you mean inner?"],
  [{ text: 7 }, "text", "must be text, not a number"],
  [{ ownTexts: ["a", "b", "c"] }, "ownTexts", "must be a few texts"],
  [{ onOrTexts: "long" }, "onOrTexts", 'must be "on" or a list'],
  [{ texts: 7 }, "texts", "must be text, a list or an object, not a number"],
  [{ texts: "" }, "texts", "must not be empty"],
  [{ texts: ["a", "b", "c"] }, "texts", "must have at most 2 entries"],
  [{ texts: ["a", 7] }, "texts[1]", "must be text, not a number"],
  [{ texts: { a: 1 } }, "texts.a", "there is no such field; leave it out"],
  [{ text: "" }, "text", "must not be empty"],
  [{ text: "long" }, "text", "must have at most 3 characters"],
  [{ number: "7" }, "number", "must be a number, not text"],
  [{ number: 0 }, "number", "must be above 0"],
  [{ number: 10 }, "number", "must be at most 9"],
  [{ whole: 2.5 }, "whole", "must be a whole number"],
  [{ whole: null }, "whole", "must be a number, not null"],
  [{ whole: 1 }, "whole", "must be at least 2"],
  [{ whole: 9 }, "whole", "must be below 9"],
  [{ flag: "true" }, "flag", "must be true or false, not text"],
  [{ list: {} }, "list", "must be a list, not an object"],
  [{ list: ["a"] }, "list", "must have at least 2 entries"],
  [{ list: ["a", 7] }, "list[1]", "must be text, not a number"],
  [{ object: {} }, "object.inner", "is required and must be a number"],
  [{ map: { b: 1 } }, "map.b", "must be called a"],
  [{ word: "maybe" }, "word", 'must be "on" or "off"'],
  [{ word: 7 }, "word", 'must be "on" or "off", not a number'],
  [{ only: 2 }, "only", "must be 1"],
  [{ own: 2 }, "own", "only 1 is supported"],
  [{ content: 7 }, "content", "must be text, a list or null, not a number"],
  [{ content: [{}] }, "content[0].type", "is required and must be text"],
  [{ kind: 7 }, "kind", "must be an object, not a number"],
  [{ kind: {} }, "kind.type", 'is required and must be "a" or "b"'],
  [{ kind: { type: "c" } }, "kind.type", 'must be "a" or "b"'],
  [{ kind: { type: 7 } }, "kind.type", 'must be "a" or "b", not a number'],
  [{ choice: "other" }, "choice", 'must be "auto", "none" or an object'],
  [{ choice: true }, "choice", 'must be "auto", "none" or an object, not true'],
])("%j is told what is wrong with %j: %s", (json, param, message) => {
  const parsed = schema.safeParse(json, { error: fieldProblems });
  if (parsed.success) throw new Error("it was right");
  expect(firstProblem(parsed.error)).toEqual({ param, message });
});
