import { expect, it } from "vitest";

import { WithDeletions, WithRareFaults } from "../../simulator/handover/hooks.ts";
import { RARE_FAULTS } from "../../simulator/handover/rare-faults.ts";
import { playFresh } from "./fresh.ts";

/** Fleets with more trouble. Replay a seed as in `handover.test.ts`, by adding `--deletions` or `--rare`. */

it("[H22] keeps every invariant while machines go for good, are deleted, and come back all the same", async () => {
  const results = await playFresh(60, () => new WithDeletions());
  expect(results.some(({ deletions }) => deletions > 0)).toBe(true);
});

it("keeps every invariant through what happens once in a year", async () => {
  const results = await playFresh(40, () => new WithRareFaults());
  const seen = new Set(results.flatMap(({ rareFaults }) => [...rareFaults]));
  expect([...seen].toSorted()).toEqual(RARE_FAULTS.toSorted());
});
