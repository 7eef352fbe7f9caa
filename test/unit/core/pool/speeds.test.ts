import { describe, expect, it } from "vitest";

import { isServedInTime } from "../../../../core/pool/service-level.ts";
import { INITIAL_SETTINGS } from "../../../../core/pool/settings.ts";
import { decodeTpsAt, Speeds } from "../../../../core/pool/speeds.ts";
import { Totals } from "../../../../core/pool/totals.ts";
import { machineIdSchema } from "../../../../protocol/ids.ts";

const MAC = machineIdSchema.parse("mac-1");

function answer(prompt: number, prefillMs: number, completion: number, decodeMs: number, cached = 0) {
  return {
    usage: { prompt_tokens: prompt, completion_tokens: completion, cached_tokens: cached },
    timings: { queue_ms: 0, prefill_ms: prefillMs, decode_ms: decodeMs },
  };
}

describe("measured speeds", () => {
  it("are unknown before the first answer, and averages after it", () => {
    const speeds = new Speeds(() => []);
    expect(speeds.get(MAC)).toBeNull();
    speeds.learn(MAC, answer(500, 1000, 101, 2000), 1);
    expect(speeds.get(MAC)).toEqual({ prefillTps: 500, decodeTps: [50] });
    speeds.learn(MAC, answer(1000, 1000, 101, 1000), 1);
    expect(speeds.get(MAC)).toEqual({ prefillTps: 600, decodeTps: [60] });
  });

  it("count only the tokens that had to be read, and nothing from an answer of a few tokens", () => {
    const speeds = new Speeds(() => []);
    speeds.learn(MAC, answer(500, 500, 3, 1, 400), 1);
    expect(speeds.get(MAC)).toEqual({ prefillTps: 200, decodeTps: [] });
    speeds.learn(MAC, answer(400, 1, 3, 1, 400), 1);
    expect(speeds.get(MAC)).toEqual({ prefillTps: 200, decodeTps: [] });
  });

  it("are never beyond what machines can do, however little time one says that it took", () => {
    const speeds = new Speeds(() => []);
    for (let i = 0; i < 2; i++) speeds.learn(MAC, answer(1e9, 5e-324, 1e9, 5e-324), 1);
    expect(speeds.get(MAC)).toEqual({ prefillTps: 250_000, decodeTps: [10_000] });
  });

  it("are read when they matter, and averaged then with what was measured since", () => {
    let reads = 0;
    const written = { prefillTps: 500, decodeTps: [50] };
    const speeds = new Speeds(() => {
      reads += 1;
      return [{ machineId: MAC, speed: written }];
    });
    for (let i = 0; i < 2; i++) speeds.learn(MAC, answer(1000, 1000, 101, 1000), 1);
    expect(reads).toBe(0);
    expect(speeds.isWritten).toBe(false);
    const known = new Speeds(() => [{ machineId: MAC, speed: written }]);
    expect(known.get(MAC)).toEqual(written);
    for (let i = 0; i < 2; i++) known.learn(MAC, answer(1000, 1000, 101, 1000), 1);
    expect(speeds.drain()).toEqual([{ machineId: MAC, speed: known.get(MAC) }]);
    expect([reads, speeds.isWritten]).toEqual([1, true]);
  });

  it("are kept by how many streams ran, and survive what is written", () => {
    const speeds = new Speeds(() => []);
    speeds.learn(MAC, answer(0, 0, 101, 5000), 3);
    const written = speeds.drain();
    const later = new Speeds(() => written);
    expect(later.get(MAC)?.decodeTps).toEqual([null, null, 20]);
    expect(speeds.isWritten).toBe(true);
    later.forget(MAC);
    expect(later.drain()).toEqual([{ machineId: MAC, speed: null }]);
  });

  it("stand in for each other by the nearest number of streams, and claims for what was never measured", () => {
    const speed = { prefillTps: null, decodeTps: [null, null, 20] };
    expect(decodeTpsAt(speed, 100, 3)).toBe(20);
    expect(decodeTpsAt(speed, 100, 1)).toBeCloseTo(20 * 1.7);
    expect(decodeTpsAt(null, 54, 2)).toBeCloseTo(40);
    expect(decodeTpsAt(null, null, 1)).toBeNull();
  });
});

describe("an answer at the least speed that counts", () => {
  const flags = { ...INITIAL_SETTINGS.flags, decode_floor_tps: 10 };

  it.each([
    [11, 1000, true],
    [10, 1000, false],
    [9, 1000, false],
    [8, 1000, true],
  ])("of %i tokens, the last %i ms after the first, is in time: %s", (tokens, decodeMs, isInTime) => {
    expect(isServedInTime(answer(10, 5, tokens, decodeMs), 5, flags)).toBe(isInTime);
  });
});

describe("totals", () => {
  it("rise over all lives, and give what changed once", () => {
    const totals = new Totals([{ name: "a", value: 5 }]);
    expect(totals.isWritten).toBe(true);
    totals.add("a");
    totals.add("b", 3);
    totals.add("c", 0);
    expect(totals.drain()).toEqual([
      { name: "a", value: 6 },
      { name: "b", value: 3 },
    ]);
    expect(totals.isWritten).toBe(true);
    expect(totals.get("a")).toBe(6);
    expect([...totals.all().keys()]).toEqual(["a", "b"]);
  });
});
