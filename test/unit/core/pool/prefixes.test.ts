import { expect, it } from "vitest";

import { PREFIXES_PER_MACHINE } from "../../../../core/limits.ts";
import { Prefixes } from "../../../../core/pool/prefixes.ts";

/** Sixteen numbers; two of the same conversation share the first `shared`. */
function prompt(conversation: number, shared = 16, turn = 0): number[] {
  return Array.from(
    { length: 16 },
    (_, index) => conversation * 1000 + index + (index < shared ? 0 : 100 + turn),
  );
}

it("what a machine has read counts up to where it is the same", () => {
  const prefixes = new Prefixes();
  expect(prefixes.expectedTokens(prompt(1))).toBe(0);
  prefixes.learn(prompt(1), null);
  const tokens = Array.from({ length: 17 }, (_, shared) => prefixes.expectedTokens(prompt(1, shared, 7)));
  expect(tokens.slice(0, 4)).toEqual([0, 128, 192, 288]);
  expect(tokens.toSorted((a, b) => a - b)).toEqual(tokens);
  expect(prefixes.expectedTokens([])).toBe(0);
});

it("the least recently used are forgotten, whole conversations before the beginnings of others", () => {
  const prefixes = new Prefixes();
  const conversations = PREFIXES_PER_MACHINE / 16;
  for (let i = 0; i < conversations; i++) prefixes.learn(prompt(i), null);
  prefixes.learn(prompt(0), null);
  prefixes.learn(prompt(conversations), null);
  const known = [0, 1, 2, conversations].map((i) => prefixes.expectedTokens(prompt(i)) > 0);
  expect(known).toEqual([true, false, true, true]);
  prefixes.clear();
  expect(prefixes.expectedTokens(prompt(0))).toBe(0);
});
