import { describe, expect, it } from "vitest";

import { daySentence, hoursOf, hourSentence } from "../../../dashboard/day-use.js";
import { aUsage, NOW, used } from "./snapshot-scene.ts";

/** What was asked in the last day. It is half past twelve. */

const HOUR_MS = 3_600_000;

describe("the last day", () => {
  const rows = [
    { ...used("ok", 90), prompt_tokens: 1000, completion_tokens: 500 },
    used("queue_full", 4),
    used("provider_error", 1),
    { ...used("ok", 300, 23), prompt_tokens: 7 },
    used("ok", 999, 24),
    used("pool_exhausted", 6, 3, "b"),
  ];

  it("has an hour for each, the present one last, and nothing older", () => {
    const hours = hoursOf(aUsage(...rows), "a", NOW);
    expect(hours).toHaveLength(24);
    expect(hours[0]).toEqual({ at: NOW - HOUR_MS * 23.5, requests: 300, refused: 0, tokens: 7 });
    expect(hours.at(-1)).toEqual({ at: NOW - HOUR_MS / 2, requests: 95, refused: 4, tokens: 1500 });
    expect(hours.slice(1, -1).every(({ requests }) => requests === 0)).toBe(true);
  });

  it("is that of all models together if none is named", () => {
    const hours = hoursOf(aUsage(...rows), null, NOW);
    expect(hours.at(-4)).toMatchObject({ requests: 6, refused: 6 });
    expect(daySentence(hours, "UTC")).toBe(
      "Last day: 401 requests, 10 refused (2.5 %), 1,507 tokens, most in the hour from 13:00: 300",
    );
    expect(hourSentence({ at: NOW - HOUR_MS / 2, requests: 1, refused: 0, tokens: 2 }, "UTC")).toBe(
      "12:00 to 13:00: 1 request, 0 refused, 2 tokens",
    );
  });

  it("says that nothing was asked, or that nothing was refused", () => {
    expect(daySentence(hoursOf(aUsage(), null, NOW))).toBe("No request in the last day.");
    expect(daySentence(hoursOf(aUsage(used("ok", 1)), "a", NOW), "UTC")).toBe(
      "Last day: 1 request, none refused, 0 tokens, most in the hour from 12:00: 1",
    );
  });
});
