import fc from "fast-check";
import { expect, it } from "vitest";

import { translatorOf } from "../../support/messages.ts";
import { eventsOf } from "../../support/translation.ts";

/** What any machine may write, in any order in which it may write it, and what clients of Anthropic's API rely on. */

interface Said {
  readonly kind: "text" | "thinking" | "tool_use";
  readonly text: string;
}

const said = fc.oneof(
  fc.record({ kind: fc.constantFrom("text", "thinking"), text: fc.string({ minLength: 1 }) }),
  fc.record({ kind: fc.constant("tool_use"), text: fc.object().map((input) => JSON.stringify(input)) }),
) satisfies fc.Arbitrary<Said>;

/** Calls begin in their order, and then grow side by side, by a few characters of whichever the dice say. */
function deltasOf(items: readonly Said[], dice: () => number): object[] {
  const deltas: object[] = [];
  const growing: { readonly index: number; rest: string }[] = [];
  const call = (index: number, fields: object): void => {
    deltas.push({ tool_calls: [{ index, ...fields }] });
  };
  const grow = (): boolean => {
    const unfinished = growing.filter(({ rest }) => rest !== "");
    const one = unfinished[dice() % unfinished.length];
    if (one === undefined) return false;
    const chars = 1 + (dice() % 8);
    call(one.index, { function: { arguments: one.rest.slice(0, chars) } });
    one.rest = one.rest.slice(chars);
    return true;
  };
  for (const { kind, text } of items) {
    if (kind === "text") deltas.push({ content: text });
    else if (kind === "thinking") deltas.push({ reasoning_content: text });
    else {
      const index = growing.length;
      growing.push({ index, rest: text });
      call(index, { id: `call_${index}`, function: { name: "look", arguments: "" } });
    }
    for (let left = dice() % 4; left > 0 && grow(); left -= 1);
  }
  while (grow());
  return deltas;
}

/** The blocks as a client adds them up. @throws Error for what no client could add up */
function blocksOf(text: string): Said[] {
  const blocks: { readonly kind: Said["kind"]; text: string }[] = [];
  let open: { readonly kind: Said["kind"]; text: string } | null = null;
  for (const { type, index, content_block, delta } of eventsOf(text) as unknown as StreamEvent[]) {
    if (type === "content_block_start" && content_block !== undefined) {
      if (open !== null || index !== blocks.length) throw new Error("a block begins inside another one");
      open = { kind: content_block.type, text: "" };
      blocks.push(open);
    } else if (type.startsWith("content_block_")) {
      if (open === null || index !== blocks.length - 1) throw new Error("a block goes on that is not open");
      open.text += delta?.text ?? delta?.thinking ?? delta?.partial_json ?? "";
      if (type === "content_block_stop") open = null;
    } else if (open !== null && type !== "ping") throw new Error(`${type} comes in the middle of a block`);
  }
  return blocks;
}

interface StreamEvent {
  readonly type: string;
  readonly index?: number;
  readonly content_block?: { readonly type: Said["kind"] };
  readonly delta?: Readonly<Partial<Record<"text" | "thinking" | "partial_json", string>>>;
}

it("a stream has one block open at a time, numbered in order, and all that the machine has written", () => {
  const rolls = fc.array(fc.nat(1000), { minLength: 50, maxLength: 50 });
  fc.assert(
    fc.property(fc.array(said, { maxLength: 6 }), rolls, (items, numbers) => {
      let rolled = 0;
      const dice = (): number => numbers[rolled++ % numbers.length] ?? 0;
      const translator = translatorOf({ thinking: { type: "enabled" } });
      const chunks = deltasOf(items, dice).map((delta) => ({ choices: [{ delta, finish_reason: null }] }));
      const events = chunks.map((chunk) => translator.chunk(chunk)).join("") + translator.end();
      const blocks = blocksOf(events);
      const textsOf = (all: readonly Said[], wanted: string): string[] =>
        all.filter(({ kind }) => kind === wanted).map(({ text }) => text);
      expect(textsOf(blocks, "tool_use")).toEqual(textsOf(items, "tool_use"));
      for (const kind of ["text", "thinking"]) {
        expect(textsOf(blocks, kind).join("")).toBe(textsOf(items, kind).join(""));
      }
      expect(eventsOf(events).map(({ type }) => type)).toEqual(
        expect.arrayContaining(["message_start", "message_delta", "message_stop"]),
      );
    }),
    { numRuns: 500 },
  );
});
