import { globSync, readFileSync } from "node:fs";

import { describe, expect, it } from "vitest";

/** Every rule of docs/rules.md is quoted by a test, and no test quotes a rule that is not there. */

const root = new URL("../../", import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, root), "utf8");

const rules = [...read("docs/rules.md").matchAll(/^- \*\*([FCDH]\d+)\*\* /gm)].map(([, id]) => id ?? "");

const quoted = new Set<string>();
for (const path of globSync("test/**/*.test.ts", { cwd: root })) {
  // A comment that names a rule is no test of it.
  const code = read(path).replaceAll(/\/\*.*?\*\/|\/\/[^\n]*/gs, "");
  for (const [, id] of code.matchAll(/\[([FCDH]\d+)\]/g)) quoted.add(id ?? "");
}

describe("the rules", () => {
  it("are all there", () => {
    for (const [letter, count] of Object.entries({ F: 15, C: 21, D: 12, H: 23 })) {
      const ids = rules.filter((id) => id.startsWith(letter));
      expect(ids).toEqual(Array.from({ length: count }, (_, index) => `${letter}${index + 1}`));
    }
  });

  it("have a test each", () => {
    expect(rules.filter((id) => !quoted.has(id))).toEqual([]);
  });

  it("are quoted only if they exist", () => {
    expect([...quoted].filter((id) => !rules.includes(id))).toEqual([]);
  });
});
