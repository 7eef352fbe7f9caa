import { describe, expect, it } from "vitest";

import type { SocketEnd } from "../../provider/src/agent/ports.ts";
import { backoffMs, redialAfter } from "../../provider/src/agent/redial.ts";

const least = (): number => 0;
const most = (): number => 1 - Number.EPSILON;

const closed = (code: number): SocketEnd => ({ kind: "closed", code, reason: "" });
const refused = (
  status: number,
  retryAfterMs: number | null = null,
  code: string | null = "the_code",
): SocketEnd => ({
  kind: "refused",
  status,
  code,
  message: "because",
  retryAfterMs,
});

/** The range of waits for an end, and what is done. */
function plan(end: SocketEnd, failures = 0): string {
  const low = redialAfter(end, failures, least);
  const high = redialAfter(end, failures, most);
  if (low.next === "stop" || high.next === "stop") return low.next;
  return `${low.next} ${low.afterMs}..${high.afterMs}`;
}

describe("after a close", () => {
  it.each([1001, 1006, 1012])("[H19] redials 0 to 2 s after the first %i, later ones back off", (code) => {
    expect(plan(closed(code))).toBe("dial 0..2000");
    expect(plan(closed(code), 1)).toBe("dial 500..2000");
    expect(plan(closed(code), 2)).toBe("dial 500..4000");
  });

  it.each([
    [1000, "dial 500..1000"],
    [4003, "dial 500..1000"],
    [4004, "dial 500..1000"],
    [4000, "dial 30000..30000"],
    [4001, "dial_unless_replaced 5000..30000"],
    [4002, "dial_if_alone 500..1000"],
    [4005, "stop"],
    [4006, "stop"],
    [4007, "stop"],
    [1009, "dial 500..1000"],
    [4999, "dial 500..1000"],
  ])("on %i does: %s", (code, expected) => {
    expect(plan(closed(code))).toBe(expected);
  });

  it("says in a sentence why it stops", () => {
    for (const code of [4005, 4006, 4007]) {
      expect(redialAfter(closed(code), 0, least)).toMatchObject({
        sentence: expect.stringMatching(/\.$/) as string,
      });
    }
  });
});

describe("after a refused upgrade", () => {
  it.each([
    [401, "dial 60000..60000"],
    [403, "stop"],
    [404, "dial_another_pool 15000..15000"],
    [400, "stop"],
    [426, "stop"],
    [500, "dial 500..1000"],
    [502, "dial 500..1000"],
    [302, "dial 500..1000"],
  ])("[H22] on %i does: %s", (status, expected) => {
    expect(plan(refused(status))).toBe(expected);
  });

  it("[H22] asks for a pool that does not exist after 15 s, and then less and less often, up to 5 min", () => {
    const waits = [0, 1, 2, 3, 4, 5, 1e6].map((failures) => plan(refused(404), failures));
    expect(waits).toEqual(
      [15, 30, 60, 120, 240, 300, 300].map((seconds) => `dial_another_pool ${seconds}000..${seconds}000`),
    );
  });

  it.each([400, 403, 426])(
    "goes on after a %i that is not the coordinator's, such as a firewall's",
    (status) => {
      expect(plan(refused(status, null, null))).toBe("dial 500..1000");
    },
  );

  it.each([429, 503])("honours the Retry-After of a %i and spreads who was told the same", (status) => {
    expect(plan(refused(status, 7000))).toBe("dial 7500..8000");
    expect(plan(refused(status, 1000), 3)).toBe("dial 1500..9000");
  });

  it("does not believe in a Retry-After of days", () => {
    expect(plan(refused(503, 1e12))).toBe("dial 3600500..3601000");
  });

  it("tells the owner what the coordinator said", () => {
    expect(redialAfter(refused(403), 0, least)).toMatchObject({
      sentence: expect.stringContaining("because") as string,
    });
  });
});

it("backs off from half a second to a minute, for ever", () => {
  const ceilings = Array.from({ length: 12 }, (_, failures) => backoffMs(failures, most));
  expect(ceilings).toEqual([
    1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000, 60_000, 60_000, 60_000,
  ]);
  expect(backoffMs(1_000_000, most)).toBe(60_000);
  expect(backoffMs(1_000_000, least)).toBe(500);
});
