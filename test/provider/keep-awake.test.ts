import { expect, it } from "vitest";

import { caffeinateArguments } from "../../provider/src/keep-awake.ts";

it("keeps a Mac awake until the program ends, and one that is its owner's alone on battery only on mains", () => {
  expect(caffeinateArguments(false, 7)).toEqual(["-i", "-w", "7"]);
  expect(caffeinateArguments(true, 7)).toEqual(["-s", "-w", "7"]);
});
