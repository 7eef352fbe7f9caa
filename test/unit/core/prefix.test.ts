import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { PREFIX_LENGTHS, prefixOf, type Prompt } from "../../../core/prefix.ts";

const blocksOf = (prompt: Prompt): readonly number[] => prefixOf(prompt).blocks;
const user = (content: string): Prompt["messages"][number] => ({ role: "user", content });
const assistant = (content: string): Prompt["messages"][number] => ({ role: "assistant", content });

describe("the beginning of a prompt", () => {
  it("is told in blocks that grow, and only as far as the prompt goes", () => {
    expect(PREFIX_LENGTHS.slice(0, 4)).toEqual([512, 768, 1152, 1728]);
    expect(PREFIX_LENGTHS.at(-1)).toBeGreaterThan(200_000);
    // A role takes six characters here, and the first message of a user ends at a multiple of eight.
    const lengths = [498, 506, 754, 762, 10_000_000];
    expect(lengths.map((length) => blocksOf({ messages: [user("x".repeat(length))] }).length)).toEqual([
      0, 1, 1, 2, 16,
    ]);
  });

  it("stays the same as the conversation goes on", () => {
    const text = fc.string({ maxLength: 3000 });
    fc.assert(
      fc.property(fc.array(text, { minLength: 1, maxLength: 6 }), text, text, (turns, answer, next) => {
        const history = turns.map((turn, index) => (index % 2 === 0 ? user(turn) : assistant(turn)));
        const before = blocksOf({ messages: history });
        const after = blocksOf({ messages: [...history, assistant(answer), user(next)] });
        expect(after.slice(0, before.length)).toEqual(before);
      }),
    );
  });

  it("differs from the first block on in which anything does", () => {
    const long = "some words ".repeat(300);
    const plain = blocksOf({ messages: [user(long)] });
    const same = (other: Prompt): number =>
      blocksOf(other).filter((hash, index) => hash === plain[index]).length;
    expect(plain).toHaveLength(5);
    expect(same({ messages: [user(`${long}!`)] })).toBe(5);
    expect(same({ messages: [user(`${long.slice(0, 1000)}!${long.slice(1001)}`)] })).toBe(2);
    expect(same({ messages: [user(`!${long.slice(1)}`)] })).toBe(0);
    expect(same({ messages: [assistant(long)] })).toBe(0);
    expect(same({ messages: [user(long)], tools: [{ type: "function" }] })).toBe(0);
  });

  it("is told by all bits of all characters, whatever the alphabet", () => {
    const text = Array.from({ length: 400 }, (_, index) => "aé字ß"[index % 4] ?? "").join("");
    const plain = blocksOf({ messages: [user(text)] });
    expect(plain.length).toBeGreaterThan(1);
    // Of characters that are alike in all but one bit, at each place of the first block.
    const others = Array.from({ length: 100 }, (_, at) =>
      [1, 2, 4, 8, 16, 32].map((bit) => String.fromCharCode(text.charCodeAt(at) ^ bit)),
    );
    const hashes = others.flatMap((changed, at) =>
      changed.map((unit) => blocksOf({ messages: [user(text.slice(0, at) + unit + text.slice(at + 1))] })[0]),
    );
    expect(new Set([plain[0], ...hashes]).size).toBe(hashes.length + 1);
  });

  it("ends where it may, also within a character or a pair of surrogates", () => {
    const longest = PREFIX_LENGTHS.at(-1) ?? 0;
    for (const cut of [0, 1, 2, 3, 4, 5]) {
      const ascii = "x".repeat(longest - "\nuser\n".length - cut);
      for (const end of ["🚲".repeat(9), "字".repeat(9), "\ud83d".repeat(9), "é".repeat(9)]) {
        const hashes = blocksOf({ messages: [user(ascii + end), user("and so on")] });
        expect(hashes).toHaveLength(16);
        expect(blocksOf({ messages: [user(ascii + end), user("or not")] })).toEqual(hashes);
      }
    }
  });

  it("is read from parts and tool calls as well", () => {
    const long = "x".repeat(1000);
    const parts = [
      { type: "text", text: long.slice(0, 300) },
      { type: "image" },
      { type: "text", text: long },
    ];
    expect(blocksOf({ messages: [{ role: "user", content: parts }] })).toHaveLength(3);
    const calls = [{ function: { arguments: long } }];
    expect(blocksOf({ messages: [{ role: "assistant", content: null, tool_calls: calls }] })).toHaveLength(2);
  });

  it("shows nothing of the text but numbers of 32 bits", () => {
    const { blocks, conversation } = prefixOf({ messages: [user("secret ".repeat(500))] });
    for (const hash of [...blocks, conversation]) {
      expect(Number.isInteger(hash) && Number(hash) >= 0 && Number(hash) < 2 ** 32).toBe(true);
    }
  });
});

describe("the hash of a conversation", () => {
  const conversationOf = (...messages: Prompt["messages"]): number | null =>
    prefixOf({ messages }).conversation;
  const system = { role: "system", content: "Instructions of an agent. ".repeat(2000) };

  it("is that of each of its turns, and of no other with the same instructions", () => {
    fc.assert(
      fc.property(fc.array(fc.string(), { minLength: 1, maxLength: 9 }), fc.string(), (turns, other) => {
        const [first = ""] = turns;
        const opening = conversationOf(system, user(first));
        const later = turns.flatMap((turn) => [assistant(turn), user(turn)]);
        expect(opening).not.toBeNull();
        expect(conversationOf(system, user(first), ...later)).toBe(opening);
        expect(conversationOf(system, user(other), ...later) === opening).toBe(other === first);
      }),
    );
  });

  it("covers what comes before the first message of a user", () => {
    const opening = conversationOf(system, user("Go on."));
    expect(conversationOf({ ...system, content: `${system.content}!` }, user("Go on."))).not.toBe(opening);
    expect(prefixOf({ messages: [system, user("Go on.")], tools: [{}] }).conversation).not.toBe(opening);
    expect(conversationOf(system, assistant("Hello."), user("Go on."))).not.toBe(opening);
  });

  it.each([
    ["ends within the first block", [user("x".repeat(490)), assistant(system.content)]],
    ["ends after the last block", [user("x".repeat(300_000)), assistant("ho"), user("hi")]],
    ["has no message of a user", [system, assistant("hi")]],
  ])("is not told if its opening %s", (_, messages) => {
    expect(prefixOf({ messages }).conversation).toBeNull();
  });
});
