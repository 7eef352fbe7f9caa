import fc from "fast-check";
import { expect, it } from "vitest";

import { INITIAL_SETTINGS } from "../../../../core/pool/settings.ts";
import { PoolScene, MODEL, type Machine } from "./pool-scene.ts";

/** Where a request of any length may go in any fleet, and where it must not. */

const machine = fc.record({
  /** Null: it does not say. */
  context: fc.constantFrom(null, 2048, 4096, 8192, 32_768),
  /** All have one slot. */
  isBusy: fc.boolean(),
  isRoutable: fc.constantFrom(true, true, true, false),
});
const tokens = fc.constantFrom(100, 1500, 2500, 3500, 5000, 7000, 10_000, 30_000, 80_000);
/** What stands around the text, in tokens. */
const AROUND_TEXT = 3;
const mostContext = (context: number | null): number => context ?? Infinity;

interface Mac {
  readonly context: number | null;
  readonly isBusy: boolean;
  readonly isRoutable: boolean;
}

function joinAll(scene: PoolScene, fleet: readonly Mac[]): Machine[] {
  return fleet.map(({ context, isBusy, isRoutable }, index) => {
    const models = [{ id: MODEL, size_bytes: 1, ...(context === null ? {} : { context_length: context }) }];
    const joined = scene.join(`mac-${index}`, { models, max_concurrency: 1 });
    scene.heartbeat(joined, { max_concurrency: 1, running: Number(isBusy), accepting: isRoutable });
    return joined;
  });
}

const some = (among: readonly Mac[], wanted: number): boolean =>
  among.some(({ context }) => mostContext(context) >= wanted);

function bodyOf(guess: number): string {
  return `{"text":"${"a".repeat(4 * guess)}"}`;
}

it("fits where it is sent as well as any machine that serves, and is never kept from one that takes it", () => {
  fc.assert(
    fc.property(fc.array(machine, { minLength: 1, maxLength: 5 }), tokens, (fleet, guess) => {
      const scene = new PoolScene();
      const machines = joinAll(scene, fleet);
      const client = scene.ask({ body: bodyOf(guess), answerTokens: 1 });
      const to = machines.findIndex((each) => scene.requestsOf(each).length > 0);
      const serving = fleet.filter(({ isRoutable }) => isRoutable);
      const free = serving.filter(({ isBusy }) => !isBusy);
      const likely = guess + AROUND_TEXT;
      const [roomy, least] = [1.5 * likely + 1, likely / 2];
      const given = to < 0 ? null : mostContext(fleet[to]?.context ?? null);
      // Of what this machine has not, no free one has more; nor has a busy one, if it is more than comfort. Who is sent to none
      // waits for one that it probably fits on, and is refused only where none serves.
      const laws =
        given === null
          ? {
              waitsIfAnyServes: (client.ended === null) === serving.length > 0,
              noneIsFree: !some(free, likely),
              somethingIsInSight: free.length === 0 || some(serving, least),
            }
          : {
              hasRoomToSpare: given >= roomy || !some(free, roomy),
              probablyFits: given >= likely || !some(serving, likely),
              mayFit: given >= least || !some(serving, least),
            };
      expect(Object.entries(laws).filter(([, holds]) => !holds)).toEqual([]);
    }),
    { numRuns: 500 },
  );
});

it("waits only while no machine that it may go to is free, whoever waits before it", () => {
  fc.assert(
    fc.property(
      fc.array(machine, { minLength: 1, maxLength: 5 }),
      fc.array(tokens, { minLength: 1, maxLength: 8 }),
      fc.nat(4),
      (fleet, guesses, next) => {
        // One line, long enough for all: nobody is refused, or tried anywhere because it is full.
        const queueMax = { ...INITIAL_SETTINGS.flags, queue_max: 100 };
        const scene = new PoolScene([], 1_000_000, new Map(), { ...INITIAL_SETTINGS, flags: queueMax });
        const machines = joinAll(
          scene,
          fleet.map((each) => ({ ...each, isBusy: true })),
        );
        const waiting = guesses.map((guess, index) => ({
          guess: guess + AROUND_TEXT,
          client: scene.ask({ body: bodyOf(guess), answerTokens: 1, keyId: `key-${index % 3}` }),
        }));
        const freed = machines[next % machines.length];
        if (freed === undefined) return;
        scene.heartbeat(freed, { max_concurrency: 1, running: 0, accepting: true });
        const at = fleet[next % fleet.length];
        const serving = fleet.filter((each) => each.isRoutable || each === at);
        const isFree = scene.requestsOf(freed).length === 0;
        const inVain = waiting.filter(({ guess, client }) => {
          const level = [guess, guess / 2].find((wanted) => some(serving, wanted)) ?? 0;
          return client.ended === null && isFree && mostContext(at?.context ?? null) >= level;
        });
        expect(inVain.map(({ guess }) => guess)).toEqual([]);
      },
    ),
    { numRuns: 200 },
  );
});
