import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { IdlePools, type IdlePool, type IdlePoolStore } from "../../../../core/fleet/idle-pools.ts";
import { IDLE_TOTALS_MS } from "../../../../core/limits.ts";
import { perform, type PoolCall, type PoolReply } from "../../../../core/pool/calls.ts";
import { INITIAL_SETTINGS } from "../../../../core/pool/settings.ts";
import { MODEL, PoolScene, type Sent } from "../pool/pool-scene.ts";
import { aReport } from "./fleet-scene.ts";

const NOW = 1_000_000;

type ReadCall = Extract<PoolCall, { kind: "read" }>;
type ReportReply = Extract<PoolReply, { kind: "report" }>;

class MemoryIdlePoolStore implements IdlePoolStore {
  readonly #pools = new Map<string, IdlePool>();

  idlePools(): IdlePool[] {
    return structuredClone([...this.#pools.values()]);
  }

  saveIdlePool(idle: IdlePool): void {
    this.#pools.set(idle.pool, structuredClone(idle));
  }

  removeIdlePool(pool: string): void {
    this.#pools.delete(pool);
  }
}

function reading({ isLooking = false, withTotals = true } = {}): ReadCall {
  const watch = { isLooking, surprisingArrivals: null };
  return {
    kind: "read",
    askedAt: NOW,
    slotsPerMachine: 4,
    settings: INITIAL_SETTINGS,
    watch,
    withTotals,
  };
}

const TOTALS: ReadonlyMap<string, number> = new Map([["requests.ok", 3]]);

function answer(open: Partial<ReportReply["report"]> = {}): ReportReply {
  return { kind: "report", report: { ...aReport("m", []), ...open }, totals: TOTALS };
}

describe("what an idle pool has counted", () => {
  it("is known after it was asked, also to a later life of the fleet", () => {
    const store = new MemoryIdlePoolStore();
    const idle = new IdlePools(store);
    expect(idle.totalsOf(["m"], NOW)).toEqual(new Map());
    const call = reading();
    idle.asked("m", call);
    expect(idle.totalsOf(["m"], NOW)).toEqual(new Map());
    idle.answered("m", call, answer(), NOW);
    expect(idle.totalsOf(["m", "n"], NOW)).toEqual(new Map([["m", TOTALS]]));
    expect(new IdlePools(store).totalsOf(["m"], NOW)).toEqual(new Map([["m", TOTALS]]));
  });

  it("is read again after an hour, in case news were lost", () => {
    const idle = new IdlePools(new MemoryIdlePoolStore());
    const call = reading();
    idle.asked("m", call);
    idle.answered("m", call, answer(), NOW);
    expect(idle.totalsOf(["m"], NOW + IDLE_TOTALS_MS - 1).size).toBe(1);
    expect(idle.totalsOf(["m"], NOW + IDLE_TOTALS_MS).size).toBe(0);
  });

  it("is not known while requests are open, or while the fleet looks, so that the pool says nothing", () => {
    const idle = new IdlePools(new MemoryIdlePoolStore());
    for (const open of [{ inFlight: 1 }, { queued: 1 }]) {
      const call = reading();
      idle.asked("m", call);
      idle.answered("m", call, answer(open), NOW);
      expect(idle.totalsOf(["m"], NOW).size).toBe(0);
    }
    const known = reading();
    idle.asked("m", known);
    idle.answered("m", known, answer(), NOW);
    expect(idle.totalsOf(["m"], NOW).size).toBe(1);
    for (const withTotals of [true, false]) {
      const looking = reading({ isLooking: true, withTotals });
      idle.asked("m", looking);
      expect(idle.totalsOf(["m"], NOW).size).toBe(0);
      idle.answered("m", looking, answer(), NOW);
      expect(idle.totalsOf(["m"], NOW).size).toBe(0);
    }
  });

  it("is forgotten with its model", () => {
    const store = new MemoryIdlePoolStore();
    const idle = new IdlePools(store);
    const call = reading();
    idle.asked("m", call);
    idle.answered("m", call, answer(), NOW);
    idle.totalsOf(["n"], NOW);
    expect(store.idlePools()).toEqual([]);
  });

  it("is never of a time before the newest news of the pool", () => {
    const idle = new IdlePools(new MemoryIdlePoolStore());
    const first = reading();
    idle.asked("m", first);
    idle.forget("m");
    const second = reading();
    idle.asked("m", second);
    // The answer of before the news comes late.
    idle.answered("m", first, answer(), NOW);
    expect(idle.totalsOf(["m"], NOW).size).toBe(0);
    idle.forget("m");
    idle.answered("m", second, answer(), NOW);
    expect(idle.totalsOf(["m"], NOW).size).toBe(0);
    idle.asked("m", second);
    idle.answered("m", second, answer(), NOW);
    expect(idle.totalsOf(["m"], NOW).size).toBe(1);
  });

  it("is what the pool would say, or news of it are on their way, whatever happens in whatever order", () => {
    const which = fc.nat();
    const events = fc.array(
      fc.oneof(
        fc.record({ does: fc.constant("read" as const), isLooking: fc.boolean(), withTotals: fc.boolean() }),
        fc.record({ does: fc.constantFrom("hear call", "hear reply", "hear news"), which }),
        fc.record({ does: fc.constantFrom("hear call", "hear reply", "hear news"), which }),
        fc.record({ does: fc.constantFrom("ask", "serve", "refuse at edge"), which }),
      ),
      { maxLength: 80, size: "max" },
    );
    let known = 0;
    fc.assert(
      fc.property(events, (all) => {
        const scene = new PoolScene();
        const machine = scene.join("mac");
        const idle = new IdlePools(new MemoryIdlePoolStore());
        // Calls arrive in the order in which they were made; answers and news come as they like.
        const calls: ReadCall[] = [];
        const replies: { call: ReadCall; reply: ReportReply }[] = [];
        const sent: Sent[] = [];
        for (const event of all) {
          switch (event.does) {
            case "read": {
              const call = reading(event);
              idle.asked(MODEL, call);
              calls.push(call);
              break;
            }
            case "hear call": {
              const call = calls.shift();
              if (call === undefined) break;
              const reply = perform(scene.pool, call, scene.now);
              if (reply.kind === "report") replies.push({ call, reply });
              break;
            }
            case "hear reply":
              for (const { call, reply } of replies.splice(event.which % Math.max(1, replies.length), 1)) {
                idle.answered(MODEL, call, reply, scene.now);
              }
              break;
            case "hear news":
              if (scene.news.splice(event.which % Math.max(1, scene.news.length), 1).length > 0)
                idle.forget(MODEL);
              break;
            case "ask":
              scene.ask();
              sent.push(...scene.requestsOf(machine));
              break;
            case "serve":
              for (const request of sent.splice(event.which % Math.max(1, sent.length), 1)) {
                scene.serve(request, "x");
                sent.push(...scene.requestsOf(machine));
              }
              break;
            case "refuse at edge": {
              const count = { code: "pool_exhausted", keyId: "k", requests: 2, promptTokens: 2 } as const;
              scene.pool.refusedAtEdge([count], scene.now);
            }
          }
          const totals = idle.totalsOf([MODEL], scene.now).get(MODEL);
          if (totals === undefined || scene.news.length > 0) continue;
          known += 1;
          expect(totals).toEqual(scene.pool.ledger.totals.all());
        }
      }),
      { numRuns: 2_000 },
    );
    expect(known).toBeGreaterThan(0);
  });
});
