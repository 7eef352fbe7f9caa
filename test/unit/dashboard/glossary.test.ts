import { expect, it } from "vitest";

import { MACHINE_WORDS, PLAN_WORDS, POOL_WORDS, wordsOf } from "../../../dashboard/glossary.js";
import { SHOWN } from "../../../dashboard/machines.js";
import { text } from "../../../dashboard/table.js";

it("explains each state that machines can be filtered by", () => {
  const states = SHOWN.map(({ value }) => value).filter(
    (value) => !["all", "attention", "serving"].includes(value),
  );
  expect(states.length).toBeGreaterThan(6);
  expect(MACHINE_WORDS.map(({ name }) => name)).toEqual(expect.arrayContaining(states));
});

it("explains no word twice in one list", () => {
  for (const words of [POOL_WORDS, MACHINE_WORDS, PLAN_WORDS]) {
    expect(new Set(words.map(({ name }) => name)).size).toBe(words.length);
  }
});

it("takes of a table the heads that have something to explain", () => {
  const fill = text(() => "");
  expect(
    wordsOf([
      { label: "Model", fill },
      { label: "Ready", hint: "Machines that requests can reach", fill },
    ]),
  ).toEqual([{ name: "Ready", value: "Machines that requests can reach" }]);
});
