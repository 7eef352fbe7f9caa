import fc from "fast-check";
import { expect, it } from "vitest";

import type { LifeEvent } from "./life-event.ts";
import { RandomLife } from "./random-life.ts";

/**
 * Any order of events, right and wrong ones, must keep what a pool promises. After each event everything that holds
 * in any order is checked; at the end, when nobody says anything more, everything must come to rest.
 */

const LIVES = 300;
const EVENTS = 150;

const which = fc.nat(1000);
const rarely = fc.nat(9).map((n) => n === 0);
const mostly = fc.nat(9).map((n) => n > 0);
const limit = fc.integer({ min: 1, max: 4 });

/** Each kind of event, with how often it comes. */
const events = [
  [
    12,
    {
      kind: "ask",
      key: fc.nat(2),
      stream: fc.boolean(),
      again: rarely,
      deadlineMs: fc.constantFrom(2000, 600_000, 600_000),
    },
  ],
  [1, { kind: "dial", machine: fc.nat(2) }],
  [
    1,
    {
      kind: "register",
      which,
      own: mostly,
      again: rarely,
      admitted: mostly,
      limit,
      loaded: mostly,
      offers: mostly,
    },
  ],
  [5, { kind: "join", machine: fc.nat(2), limit, loaded: mostly, offers: mostly }],
  [40, { kind: "go on", which }],
  [
    6,
    {
      kind: "say",
      what: fc.constantFrom("accept", "bytes", "half", "end", "complete", "error", "error"),
      errorClass: fc.constantFrom("capacity", "client", "fault", "cancelled"),
      which,
      late: rarely,
      wrongId: rarely,
      wrongSocket: rarely,
    },
  ],
  [
    4,
    {
      kind: "heartbeat",
      which,
      running: fc.constantFrom(0, 0, 1, 4),
      limit,
      accepting: mostly,
      loaded: mostly,
    },
  ],
  [2, { kind: "spoil", machine: fc.nat(2) }],
  [2, { kind: "leave", which }],
  [8, { kind: "read", which, undelivered: fc.constantFrom(0, 0, 0, 70_000, 70_000, 70_000, 2_000_000) }],
  [1, { kind: "lose", which }],
  [1, { kind: "garbage", which, binary: fc.boolean() }],
  [1, { kind: "sleep" }],
  [8, { kind: "wait", ms: fc.constantFrom(1, 100, 500), mute: rarely }],
  [4, { kind: "wait", ms: fc.constantFrom(3000, 6000, 12_000, 61_000), mute: rarely }],
] as const;

const event = fc.oneof(
  ...events.map(([weight, { kind, ...fields }]) => ({
    weight,
    arbitrary: fc.record({ kind: fc.constant(kind), ...fields }) as fc.Arbitrary<LifeEvent>,
  })),
);

it(`[F15] [H11] [H12] [H18] [H20] keeps its promises in ${LIVES} random lives`, () => {
  const reached = new Set<string>();
  fc.assert(
    fc.property(fc.array(event, { maxLength: EVENTS, size: "max" }), (story) => {
      const life = new RandomLife();
      for (const machine of [0, 1])
        life.happen({ kind: "join", machine, limit: 2, loaded: true, offers: true });
      for (const next of story) life.happen(next);
      life.end();
      for (const what of [...life.outcomes, ...life.reached]) reached.add(what);
    }),
    { numRuns: LIVES, seed: 20_260_101 },
  );
  // The lives were not all the same dull one.
  expect([...reached]).toEqual(
    expect.arrayContaining([
      "ok",
      "cancelled",
      "provider_error",
      "queue_timeout",
      "pool_exhausted",
      "queue_full",
      "breaker",
      "invalid_request",
      "deadline_exceeded",
      "client_too_slow",
      "attempt 3",
      "sent again",
      "pause",
      "resume",
      "slept",
      "superseded while running",
      "silent while running",
      "badMessage while running",
    ]),
  );
});
