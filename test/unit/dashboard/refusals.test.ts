import { describe, expect, it } from "vitest";

import { lastRefusals, refusalsOf } from "../../../dashboard/refusals.js";
import { readSnapshot, type UsageRow } from "../../../dashboard/snapshot.js";
import { aSnapshot, aUsage, NOW, used } from "./snapshot-scene.ts";

/** What was refused, and whether it goes on. It is half past twelve. */

const MINUTE_MS = 60_000;

const refusedAs = (usage: ReturnType<typeof aUsage>) => refusalsOf(usage, "a", NOW, "UTC");

describe("what was refused", () => {
  it("is counted over this hour and the last, for lack of room only", () => {
    const rows = [
      used("ok", 90),
      used("cancelled", 2),
      used("provider_error", 3),
      used("queue_full", 4),
      used("pool_exhausted", 1, 1),
      used("queue_full", 999, 2),
      used("queue_full", 999, 0, "b"),
    ];
    expect(refusedAs(aUsage(...rows))).toEqual({
      since: NOW - 90 * MINUTE_MS,
      share: "5.0 %",
      detail: "5 of 100",
      turnedAway: 5,
      isLately: true,
    });
  });

  it("is no share of nothing, and nothing of what was served", () => {
    expect(refusedAs(aUsage())).toMatchObject({ share: "–", detail: "no requests", isLately: false });
    expect(refusedAs(aUsage(used("ok", 3)))).toMatchObject({
      share: "0 %",
      detail: "0 of 3",
      isLately: false,
    });
  });
});

/** What is said after these readings of usage, so many minutes after half past twelve each. */
function afterReadings(...readings: (readonly [minutes: number, ...rows: UsageRow[]])[]) {
  let usage = aUsage();
  for (const [index, [minutes, ...rows]] of readings.entries()) {
    const asOf = NOW + minutes * MINUTE_MS;
    const before = index === 0 ? undefined : usage.refused;
    usage = { rows, readAt: asOf, asOf, refused: lastRefusals(rows, asOf, before) };
  }
  const { isLately, detail } = refusalsOf(usage, "a", usage.asOf, "UTC");
  return { isLately, detail };
}

describe("refusals", () => {
  const burst = [used("ok", 1), used("queue_full", 10), used("pool_exhausted", 9)];

  it("count as going on when they are first seen in this hour, since nobody knows when in it they were", () => {
    expect(afterReadings([0, ...burst])).toEqual({ isLately: true, detail: "19 of 20" });
  });

  it("are over when no reading of some minutes has brought more", () => {
    expect(afterReadings([0, ...burst], [1, ...burst], [4, ...burst])).toMatchObject({ isLately: true });
    expect(afterReadings([0, ...burst], [1, ...burst], [5, ...burst])).toEqual({
      isLately: false,
      detail: "19 of 20, none since 12:30",
    });
  });

  it("go on with each that comes", () => {
    const more = [...burst, used("queue_timeout", 1)];
    expect(afterReadings([0, ...burst], [5, ...burst], [6, ...more], [10, ...more])).toEqual({
      isLately: true,
      detail: "20 of 21",
    });
    const next = [...burst, used("queue_full", 1, -1)];
    expect(afterReadings([0, ...burst], [29, ...burst], [31, ...next])).toMatchObject({ isLately: true });
  });

  it("of the last hour were over by its end", () => {
    expect(afterReadings([0, used("queue_full", 19, 1), used("ok", 1)])).toEqual({
      isLately: false,
      detail: "19 of 20, none since 12:00",
    });
    expect(afterReadings([-26, used("queue_full", 19, 1), used("ok", 1)])).toMatchObject({ isLately: true });
  });

  it("are not said to be over for want of a reading", async () => {
    let isAnswering = true;
    const rows = [...burst];
    const { utilization, placement } = aSnapshot();
    let minutes = 0;
    const api = {
      utilization: () => Promise.resolve({ ...utilization, at: NOW + minutes * MINUTE_MS }),
      placement: () => Promise.resolve(placement),
      flags: () => Promise.resolve({ flags: [] }),
      usage: () =>
        isAnswering ? Promise.resolve({ usage: [...rows] }) : Promise.reject(new Error("silent")),
    };
    const read = (known: ReturnType<typeof aSnapshot> | null) =>
      readSnapshot(api as never, known, NOW + minutes * MINUTE_MS);
    const said = ({ usage, utilization: { at } }: ReturnType<typeof aSnapshot>) =>
      usage === null ? null : refusalsOf(usage, "a", at, "UTC").detail;
    let snapshot = await read(null);
    isAnswering = false;
    minutes = 10;
    snapshot = await read(snapshot);
    expect(said(snapshot)).toBe("19 of 20");
    isAnswering = true;
    minutes = 11;
    snapshot = await read(snapshot);
    expect(said(snapshot)).toBe("19 of 20, none since 12:30");
    // Within a minute it is not read again.
    rows.push(used("queue_full", 1));
    minutes = 11.5;
    expect(said(await read(snapshot))).toBe("19 of 20, none since 12:30");
    minutes = 12;
    expect(said(await read(snapshot))).toBe("20 of 21");
  });
});
