import { describe, expect, it } from "vitest";

import { AnswerReader, type AnswerPiece, type ItemStart } from "../../../worker/openai/answer-reader.ts";
import type { ChatChunk, ChatCompletion } from "../../../worker/openai/chat-answer.ts";
import { call, chunk, USAGE } from "../../support/translation.ts";

/** What becomes of the freedoms that machines take with chat answers: every API here is made of these pieces. */

interface Item {
  readonly start: ItemStart;
  text: string;
}

/** Each item in short: what it is, and what it has grown to. */
function itemsOf(read: (reader: AnswerReader<Item>) => readonly AnswerPiece<Item>[]): string[] {
  const items: Item[] = [];
  const reader = new AnswerReader<Item>((start) => {
    const item = { start, text: "" };
    items.push(item);
    return item;
  });
  for (const { item, text } of read(reader)) item.text += text;
  return items.map(({ start, text }) =>
    start.kind === "call" ? `${start.callId} ${start.name}(${text})` : `${start.kind} ${text}`,
  );
}

const streamed = (...chunks: ChatChunk[]) =>
  itemsOf((reader) => chunks.flatMap((each) => reader.chunk(each)));
const whole = (message: ChatCompletion["choices"][number]["message"]) =>
  itemsOf((reader) => reader.whole({ choices: [{ message, finish_reason: "stop" }] }));

const begin = (id: string, name: string, args: string) => ({ id, function: { name, arguments: args } });

describe("an answer that comes in chunks", () => {
  it.each<[string, ChatChunk[], string[]]>([
    [
      "one text after another of its kind",
      [chunk({ content: "a" }), chunk({ content: "b" })],
      ["message ab"],
    ],
    [
      "a text behind a call",
      [chunk({ content: "a" }), call(0, begin("c", "look", "{}")), chunk({ content: "b" })],
      ["message a", "c look({})", "message b"],
    ],
    [
      "a thought behind a text",
      [chunk({ reasoning_content: "h" }), chunk({ content: "a" }), chunk({ reasoning_content: "m" })],
      ["reasoning h", "message a", "reasoning m"],
    ],
    [
      "an empty text between two thoughts",
      [chunk({ reasoning_content: "h" }), chunk({ content: "" }), chunk({ reasoning_content: "m" })],
      ["reasoning hm"],
    ],
    [
      "nothing in a chunk, in all the ways to say so",
      [
        chunk({ content: "a" }),
        chunk({ reasoning_content: "" }),
        chunk({ reasoning_content: null, tool_calls: null }),
        chunk({ tool_calls: [] }),
        chunk({ content: "b" }),
        chunk({ content: "" }),
        chunk({ content: null }),
        {},
      ],
      ["message ab"],
    ],
    [
      "calls that name their id with each piece, or an empty one",
      [
        call(0, begin("c", "look", "{")),
        call(0, { id: "c", function: { arguments: '"a"' } }),
        call(0, { id: "", function: { arguments: "}" } }),
      ],
      ['c look({"a"})'],
    ],
    [
      "calls that all have the same index, told apart by their ids",
      [
        call(0, begin("c", "look", "{}")),
        call(0, begin("d", "hear", "{")),
        call(0, { function: { arguments: "}" } }),
      ],
      ["c look({})", "d hear({})"],
    ],
    [
      "calls without an index, by their place",
      [
        chunk({ tool_calls: [begin("c", "look", "{"), begin("d", "hear", "{")] }),
        chunk({ tool_calls: [{ function: { arguments: "1}" } }, { function: { arguments: "2}" } }] }),
      ],
      ["c look({1})", "d hear({2})"],
    ],
    [
      "a call without arguments, name or function",
      [call(0, { id: "c", function: { name: "look" } }), call(1, {})],
      ["c look()", " ()"],
    ],
    ["what is no text", [chunk({ content: 7 }), chunk({ content: ["a"] })], ["message 7a"]],
  ])("%s", (_, chunks, items) => {
    expect(streamed(...chunks)).toEqual(items);
  });

  it("has the last reason and the last usage that the machine has given", () => {
    const reader = new AnswerReader(() => ({}));
    expect(reader).toMatchObject({ usage: null, stopText: null });
    reader.chunk({ ...chunk({ content: "a" }, "length"), usage: null });
    reader.chunk({ choices: [{ delta: {}, finish_reason: null, stop_reason: 7 }] });
    expect(reader).toMatchObject({ finishReason: "length", usage: null, stopText: null });
    reader.chunk({ choices: [{ delta: {}, finish_reason: "stop", stop_reason: "END" }], usage: USAGE });
    reader.chunk({ choices: [] });
    expect(reader).toMatchObject({ finishReason: "stop", usage: USAGE, stopText: "END" });
  });
});

describe("an answer that comes whole", () => {
  it("is its thought, its text and its calls, in this order", () => {
    const tool_calls = [begin("c", "look", "{}"), begin("d", "hear", "{}")];
    expect(whole({ tool_calls, content: "a", reasoning_content: "h" })).toEqual([
      "reasoning h",
      "message a",
      "c look({})",
      "d hear({})",
    ]);
  });

  it("may have a usage or none", () => {
    for (const usage of [USAGE, null, undefined]) {
      const reader = new AnswerReader(() => ({}));
      reader.whole({
        choices: [{ message: {}, finish_reason: "stop" }],
        ...(usage === undefined ? {} : { usage }),
      });
      expect(reader.usage).toBe(usage ?? null);
    }
  });
});
