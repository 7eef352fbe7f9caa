import { expect, it } from "vitest";

import { MachineWorkBook, type MachineWork } from "../../../../core/pool/machine-work.ts";
import { machineIdSchema } from "../../../../protocol/ids.ts";

const MAC = { machineId: machineIdSchema.parse("mac-1"), owner: "ada" };
const OTHER = { machineId: machineIdSchema.parse("mac-2"), owner: "ada" };
const RESOLD = { ...MAC, owner: "bob" };
const DAY_MS = 86_400_000;
const TODAY = 20_000 * DAY_MS;
const TOKENS = { promptTokens: 2, completionTokens: 3, cachedTokens: 1 };

/** A day of the machine on which it has answered so often. */
function day(dayAt: number, requests: number): MachineWork {
  const [promptTokens, completionTokens] = [2 * requests, 3 * requests];
  return { ...MAC, dayAt, requests, promptTokens, completionTokens, cachedTokens: requests };
}

it("what a machine has answered is told with what is not written yet, and stays to be written", () => {
  const work = new MachineWorkBook();
  for (const at of [TODAY - 1, TODAY, TODAY + DAY_MS - 1]) work.answered(MAC, TOKENS, at);
  work.answered(OTHER, TOKENS, TODAY);
  work.answered(RESOLD, TOKENS, TODAY);
  const written = [day(TODAY - 3 * DAY_MS, 1), day(TODAY, 5)];
  expect(work.withUnwritten(MAC, TODAY - 3 * DAY_MS, written)).toEqual([
    day(TODAY - 3 * DAY_MS, 1),
    day(TODAY - DAY_MS, 1),
    day(TODAY, 7),
  ]);
  expect(work.withUnwritten(MAC, TODAY, [])).toEqual([day(TODAY, 2)]);
  expect(work.withUnwritten(RESOLD, 0, [])).toEqual([{ ...day(TODAY, 1), ...RESOLD }]);
  expect(work.drain()).toEqual([
    day(TODAY - DAY_MS, 1),
    day(TODAY, 2),
    { ...day(TODAY, 1), ...OTHER },
    { ...day(TODAY, 1), ...RESOLD },
  ]);
  expect(work.withUnwritten(MAC, 0, written)).toEqual(written);
});
