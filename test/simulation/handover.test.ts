import { it } from "vitest";

import { Hooks } from "../../simulator/handover/hooks.ts";
import { playFresh } from "./fresh.ts";

/**
 * Whole fleets on a bad network, from a seed each. A failure names its seed; replay it with
 * `npm run simulate:handover -- --seed N`. One file for each kind of trouble, so that several cores can share them.
 */

it("keeps every invariant on fresh seeds, and everything comes to rest", async () => {
  await playFresh(150, () => new Hooks());
});
