import { describe, expect, it } from "vitest";

import { Loads } from "../../../../core/pool/loads.ts";
import type { PoolRecord, RecordMode } from "../../../../core/pool/record.ts";
import { epochSchema, machineIdSchema } from "../../../../protocol/ids.ts";

const TERMS = { drainMs: 30_000, loadMs: 180_000, publicKey: "k" };

function aRecord(mode: RecordMode, since: number, progress = 0, machineId = "mac-1"): PoolRecord {
  const epoch = epochSchema.parse(1);
  const machine = machineIdSchema.parse(machineId);
  return { machineId: machine, mode, epoch, since, deadlineAt: null, terms: TERMS, progress, error: null };
}

/** Loads of this model have taken so long, one after the other. */
function after(...tookMs: readonly number[]): Loads {
  const loads = new Loads();
  for (const ms of tookMs) {
    loads.observe(aRecord("loading", 0));
    loads.observe(aRecord("assigned", ms));
  }
  return loads;
}

describe("a machine on its way", () => {
  it.each([
    ["may still drain", aRecord("draining", 0), 10_000, 20_000 + 60_000],
    ["has drained for longer than it may", aRecord("draining", 0), 50_000, 60_000],
    ["has loaded for less than that takes", aRecord("loading", 0), 20_000, 40_000],
    ["is late, and may be so for as long again", aRecord("loading", 0), 80_000, 20_000],
    ["has little left of what a load may take", aRecord("loading", 0), 175_000, 5000],
    ["is judged by its progress", aRecord("loading", 0, 0.5), 40_000, 40_000],
    ["has said so a moment ago only", aRecord("loading", 0, 0.5), 2000, 58_000],
  ])("%s", (_, record, now, readyInMs) => {
    expect(new Loads().next([record], now)?.readyInMs).toBe(readyInMs);
  });

  it("is a guess until its load can be judged by its progress or by those before", () => {
    const isCertain = (loads: Loads, record: PoolRecord, now: number) => loads.next([record], now)?.isCertain;
    expect(isCertain(new Loads(), aRecord("loading", 0), 20_000)).toBe(false);
    expect(isCertain(new Loads(), aRecord("loading", 0, 0.5), 20_000)).toBe(true);
    expect(isCertain(after(30_000), aRecord("loading", 0), 59_000)).toBe(true);
    expect(isCertain(after(30_000), aRecord("loading", 0), 60_000)).toBe(false);
    expect(isCertain(after(30_000), aRecord("draining", 0), 0)).toBe(false);
  });

  it("takes as long as loads took before, the newest counting most", () => {
    expect(after(30_000).next([aRecord("loading", 0)], 0)?.readyInMs).toBe(30_000);
    expect(after(30_000, 40_000).next([aRecord("loading", 0)], 0)?.readyInMs).toBe(33_000);
  });

  it("that failed and loads again is measured from there", () => {
    const loads = new Loads();
    loads.observe(aRecord("loading", 0));
    loads.observe(aRecord("failed", 90_000));
    loads.observe(aRecord("assigned", 100_000));
    expect(loads.next([aRecord("loading", 0)], 0)?.readyInMs).toBe(60_000);
  });

  it("is the one that is ready first", () => {
    const records = [
      aRecord("failed", 0, 0, "mac-1"),
      aRecord("expected", 0, 0, "mac-2"),
      aRecord("loading", 0, 0.9, "mac-3"),
      aRecord("draining", 0, 0, "mac-4"),
      aRecord("assigned", 0, 0, "mac-5"),
    ];
    expect(new Loads().next(records, 9000)).toEqual({
      readyInMs: expect.closeTo(1000) as number,
      isCertain: true,
    });
  });
});
