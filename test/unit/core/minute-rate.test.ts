import { describe, expect, it } from "vitest";

import { MinuteRate } from "../../../core/minute-rate.ts";

describe("dials", () => {
  it("are free up to 30 a minute, then told how long to wait", () => {
    const rate = new MinuteRate(30);
    for (let i = 0; i < 30; i++) expect(rate.admit("mac-1 m", 100_000)).toBeNull();
    expect(rate.admit("mac-1 m", 100_000)).toBe(60);
    expect(rate.admit("mac-1 m", 145_500)).toBe(14.5);
  });

  it("of another machine or to another pool are counted apart", () => {
    const rate = new MinuteRate(30);
    for (let i = 0; i < 31; i++) rate.admit("mac-1 m", 100_000);
    expect(rate.admit("mac-2 m", 100_000)).toBeNull();
    expect(rate.admit("mac-1 other", 100_000)).toBeNull();
  });

  it("are counted anew when the clock is set back, and not refused until it is where it was", () => {
    const rate = new MinuteRate(1);
    rate.admit("mac-1 m", 10_000_000);
    expect(rate.admit("mac-1 m", 1_000_000)).toBeNull();
    expect(rate.admit("mac-1 m", 1_000_000)).toBe(60);
  });

  it("are free again in the next minute, however many were refused", () => {
    const rate = new MinuteRate(30);
    for (let i = 0; i < 100; i++) rate.admit("mac-1 m", 100_000);
    expect(rate.admit("mac-1 m", 159_999)).not.toBeNull();
    expect(rate.admit("mac-1 m", 160_000)).toBeNull();
  });
});
