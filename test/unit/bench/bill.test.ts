import { spawnSync } from "node:child_process";
import { join } from "node:path";

import { describe, expect, it } from "vitest";

import { billOf, type FleetSize, type Units } from "../../../bench/bill/month.ts";

/** What a month costs, against sums that can be done by hand. */

const UNITS: Units = {
  chat: { poolCalls: 1, messages: 30, seconds: 4 },
  tick: { kvReads: 18, fleetRows: 6 },
  rowsPerFlush: 11,
  messagesPerMinute: 1,
};

function bill(size: Partial<FleetSize>) {
  const { lines, dollars, awake } = billOf(
    { name: "", machines: 10, pools: 2, chatsPerDay: 0, ...size },
    UNITS,
  );
  const of = (what: string) =>
    lines.find((line) => line.what.startsWith(what)) ?? { amount: NaN, dollars: NaN };
  return { of, dollars, awake };
}

describe("a month of", () => {
  it("a fleet that is asked for nothing costs the plan", () => {
    const { of, dollars, awake } = bill({});
    expect([dollars, awake]).toEqual([5, 0]);
    // Cron once a minute.
    expect(of("requests of the Worker").amount).toBe(43_200);
    // 10,800 looks at two pools, cron, and a heartbeat a minute of each machine, 20 for one.
    expect(of("requests of objects").amount).toBe(10_800 * 3 + 43_200 + 21_600);
    expect(of("rows written").amount).toBe(10_800 * 6);
    expect(of("readings of KV").amount).toBe(10_800 * 18);
    expect(of("points").amount).toBe(0);
  });

  it("pools that never sleep costs the memory of each all the time", () => {
    const { of, awake } = bill({ chatsPerDay: 1_000_000 });
    expect(awake).toBeCloseTo(1, 5);
    const ofPools = 2 * 30 * 86_400 * 0.128;
    // Looks of a second each, and 10 ms for each heartbeat, look at a pool, and cron.
    const others = (86_400 + (432_000 + 2 * 86_400 + 43_200) * 0.01) * 0.128;
    expect(of("GB-s").amount).toBeCloseTo(ofPools + others, 0);
    expect(of("GB-s").dollars).toBeCloseTo(((ofPools + others - 400_000) * 12.5) / 1e6, 5);
  });

  it("a million chats a day costs what is above what is included", () => {
    const { of, dollars } = bill({ chatsPerDay: 1_000_000 });
    expect(of("requests of the Worker").dollars).toBeCloseTo((30.0432 - 10) * 0.3, 5);
    expect(of("requests of objects").amount).toBe(30e6 + 86_400 * 3 + 43_200 + (30e6 * 30 + 432_000) / 20);
    expect(of("readings of KV").dollars).toBeCloseTo(((86_400 * 18 + 60e6 - 10e6) * 0.5) / 1e6, 5);
    expect(of("points").dollars).toBeCloseTo(20 * 0.25, 5);
    const whats = ["requests of the Worker", "requests of objects", "GB-s", "rows", "readings", "points"];
    expect(dollars).toBeCloseTo(5 + whats.reduce((sum, what) => sum + of(what).dollars, 0), 5);
  });
});

it("is not measured for whoever asks how, or mistypes", () => {
  const run = (flag: string) => {
    const main = join(import.meta.dirname, "../../../bench/bill.ts");
    const { status, stdout, stderr } = spawnSync(process.execPath, [main, flag], { encoding: "utf8" });
    return { status, printed: stdout + stderr };
  };
  expect(run("--help")).toEqual({ status: 0, printed: expect.stringMatching(/^npm run bill\n/) });
  expect(run("--quick")).toEqual({ status: 2, printed: expect.stringMatching(/^Unknown option '--quick'/) });
});
