import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { PREFIX_LENGTHS, prefixOf, type Prompt } from "../../../core/prefix.ts";

const user = (content: string): Prompt["messages"][number] => ({ role: "user", content });
const assistant = (content: string): Prompt["messages"][number] => ({ role: "assistant", content });

describe("the beginning of a prompt", () => {
  it("is told in blocks that grow, and only as far as the prompt goes", () => {
    expect(PREFIX_LENGTHS.slice(0, 4)).toEqual([512, 768, 1152, 1728]);
    expect(PREFIX_LENGTHS.at(-1)).toBeGreaterThan(200_000);
    // A role takes six characters here.
    const lengths = [505, 506, 761, 762, 10_000_000];
    expect(lengths.map((length) => prefixOf({ messages: [user("x".repeat(length))] }).length)).toEqual([
      0, 1, 1, 2, 16,
    ]);
  });

  it("stays the same as the conversation goes on", () => {
    const text = fc.string({ maxLength: 3000 });
    fc.assert(
      fc.property(fc.array(text, { minLength: 1, maxLength: 6 }), text, text, (turns, answer, next) => {
        const history = turns.map((turn, index) => (index % 2 === 0 ? user(turn) : assistant(turn)));
        const before = prefixOf({ messages: history });
        const after = prefixOf({ messages: [...history, assistant(answer), user(next)] });
        expect(after.slice(0, before.length)).toEqual(before);
      }),
    );
  });

  it("differs from the first block on in which anything does", () => {
    const long = "some words ".repeat(300);
    const plain = prefixOf({ messages: [user(long)] });
    const same = (other: Prompt): number =>
      prefixOf(other).filter((hash, index) => hash === plain[index]).length;
    expect(plain).toHaveLength(5);
    expect(same({ messages: [user(`${long}!`)] })).toBe(5);
    expect(same({ messages: [user(`${long.slice(0, 1000)}!${long.slice(1001)}`)] })).toBe(2);
    expect(same({ messages: [user(`!${long.slice(1)}`)] })).toBe(0);
    expect(same({ messages: [assistant(long)] })).toBe(0);
    expect(same({ messages: [user(long)], tools: [{ type: "function" }] })).toBe(0);
  });

  it("is told by all bits of all characters, whatever the alphabet", () => {
    const text = Array.from({ length: 400 }, (_, index) => "aé字ß"[index % 4] ?? "").join("");
    const plain = prefixOf({ messages: [user(text)] });
    expect(plain.length).toBeGreaterThan(1);
    // Of characters that are alike in all but one bit, at each place of the first block.
    const others = Array.from({ length: 100 }, (_, at) =>
      [1, 2, 4, 8, 16, 32].map((bit) => String.fromCharCode(text.charCodeAt(at) ^ bit)),
    );
    const hashes = others.flatMap((changed, at) =>
      changed.map((unit) => prefixOf({ messages: [user(text.slice(0, at) + unit + text.slice(at + 1))] })[0]),
    );
    expect(new Set([plain[0], ...hashes]).size).toBe(hashes.length + 1);
  });

  it("ends where it may, also within a character or a pair of surrogates", () => {
    const longest = PREFIX_LENGTHS.at(-1) ?? 0;
    for (const cut of [0, 1, 2, 3, 4, 5]) {
      const ascii = "x".repeat(longest - "\nuser\n".length - cut);
      for (const end of ["🚲".repeat(9), "字".repeat(9), "\ud83d".repeat(9), "é".repeat(9)]) {
        const hashes = prefixOf({ messages: [user(ascii + end), user("and so on")] });
        expect(hashes).toHaveLength(16);
        expect(prefixOf({ messages: [user(ascii + end), user("or not")] })).toEqual(hashes);
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
    expect(prefixOf({ messages: [{ role: "user", content: parts }] })).toHaveLength(3);
    const calls = [{ function: { arguments: long } }];
    expect(prefixOf({ messages: [{ role: "assistant", content: null, tool_calls: calls }] })).toHaveLength(2);
  });

  it("shows nothing of the text but numbers of 32 bits", () => {
    for (const hash of prefixOf({ messages: [user("secret ".repeat(500))] })) {
      expect(Number.isInteger(hash) && hash >= 0 && hash < 2 ** 32).toBe(true);
    }
  });
});
