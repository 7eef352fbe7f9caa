import { setTimeout as sleep } from "node:timers/promises";

import { expect, it } from "vitest";

import { SYSTEM_CLOCK } from "../../provider/src/system-clock.ts";

it("waits at least for a while when it is to wait for longer than a timer can: a coordinator may say a year", async () => {
  let hasRun = false;
  const cancel = SYSTEM_CLOCK.after(365 * 24 * 3_600_000, () => {
    hasRun = true;
  });
  await sleep(20);
  cancel();
  expect(hasRun).toBe(false);
});
