import { describe, expect, it } from "vitest";

import { LineLimit } from "../../../../core/pool/line-limit.ts";
import { PoolScene } from "./pool-scene.ts";

const QUEUE_MAX = 32;
const HOLD_MS = 1000;
const BUSY = { waitMs: 6000, slotsTaken: 20, meanHoldMs: HOLD_MS };

/** Slots that come free one after the other for so many holds, and find so many waiting. */
function afterRush(limit: LineLimit, waiting: readonly number[], holds = 5): void {
  for (let i = 0; i <= 20 * holds; i++) {
    const freed = { waiting: waiting[i % waiting.length] ?? 0, meanHoldMs: HOLD_MS, queueMax: QUEUE_MAX };
    limit.freed(freed, (i * HOLD_MS) / 20);
  }
}

function limitAfterRush(waiting: readonly number[], holds?: number): LineLimit {
  const limit = new LineLimit();
  afterRush(limit, waiting, holds);
  return limit;
}

function meanOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** A slot comes free that nobody has waited for, and is taken so much later. */
function leaveEmpty(limit: LineLimit, emptyMs: number): void {
  limit.freed({ waiting: 0, meanHoldMs: HOLD_MS, queueMax: QUEUE_MAX }, 0);
  limit.taken(HOLD_MS, emptyMs);
}

describe("[C6] the limit of a line", () => {
  it("is the operator's while nothing else is known", () => {
    expect(new LineLimit().places(BUSY, QUEUE_MAX)).toBe(QUEUE_MAX);
    expect(new LineLimit().places({ ...BUSY, meanHoldMs: null, slotsTaken: 1 }, QUEUE_MAX)).toBe(QUEUE_MAX);
    expect(new LineLimit().places({ ...BUSY, slotsTaken: 0 }, QUEUE_MAX)).toBe(QUEUE_MAX);
  });

  it("loses as many places as each slot has found taken for four holds, down to one", () => {
    const shortly = limitAfterRush([31, 20, 25], 3.5).places(BUSY, QUEUE_MAX);
    expect(shortly).toBeGreaterThan(QUEUE_MAX * 0.7);
    expect(limitAfterRush([31, 20, 25]).places(BUSY, QUEUE_MAX)).toBeLessThan(shortly - 18);
    expect(limitAfterRush([40]).places(BUSY, QUEUE_MAX)).toBe(1);
  });

  it("keeps them if one slot has found nobody", () => {
    expect(limitAfterRush([31, 12, 0]).places(BUSY, QUEUE_MAX)).toBeGreaterThan(QUEUE_MAX * 0.7);
  });

  it("falls slowly while each slot is wanted, down to one place", () => {
    const places = [0, 5, 20, 400].map((holds) => limitAfterRush([1], holds).places(BUSY, QUEUE_MAX));
    expect(places).toEqual(places.toSorted((a, b) => b - a));
    expect(new Set(places).size).toBe(4);
    expect(places.at(-1)).toBe(1);
  });

  it("counts from the limit that was in force", () => {
    const limit = new LineLimit();
    const slow = { waitMs: 6000, slotsTaken: 20, meanHoldMs: 10_000 };
    expect(limit.places(slow, QUEUE_MAX)).toBe(12);
    afterRush(limit, [8]);
    expect(limit.places(slow, QUEUE_MAX)).toBeLessThanOrEqual(4);
    expect(limitAfterRush([8]).places(slow, QUEUE_MAX)).toBe(12);
  });

  it("grows by the time that slots stay empty, and not by gaps that cost nothing", () => {
    const limit = limitAfterRush([40]);
    leaveEmpty(limit, 1);
    expect(limit.places(BUSY, QUEUE_MAX)).toBe(1);
    leaveEmpty(limit, HOLD_MS);
    expect(limit.places(BUSY, QUEUE_MAX)).toBe(2);
    for (let i = 0; i < 10; i++) leaveEmpty(limit, HOLD_MS);
    expect(limit.places(BUSY, QUEUE_MAX)).toBe(QUEUE_MAX);
  });

  it("falls from the operator's limit on, however much it has grown", () => {
    const limit = new LineLimit();
    for (let i = 0; i < 1000; i++) leaveEmpty(limit, 100 * HOLD_MS);
    afterRush(limit, [20], 9);
    expect(limit.places(BUSY, QUEUE_MAX)).toBeLessThan(QUEUE_MAX - 20);
  });

  it("is the operator's again once nothing runs", () => {
    const limit = limitAfterRush([40]);
    limit.reset();
    expect(limit.places(BUSY, QUEUE_MAX)).toBe(QUEUE_MAX);
  });

  it("lets nobody in whose turn comes later than he may wait, but always one", () => {
    const places = (slotsTaken: number) =>
      new LineLimit().places({ waitMs: 6000, slotsTaken, meanHoldMs: 10_000 }, QUEUE_MAX);
    expect([1, 20, 1000].map(places)).toEqual([1, 12, QUEUE_MAX]);
  });

  it("is never above the operator's, not even if that is none", () => {
    const limit = new LineLimit();
    const freed = { waiting: 3, meanHoldMs: HOLD_MS, queueMax: 0 };
    limit.freed(freed, 0);
    limit.freed({ ...freed, waiting: 0 }, 0);
    limit.freed(freed, 9 * HOLD_MS);
    expect(limit.places(BUSY, 0)).toBe(0);
  });
});

describe("[C6] a pool that gets five times what it can take", () => {
  const SLOTS = 20;
  const EVERY_MS = 10;

  /** Asks on and on; each request holds its slot for half a second to one and a half. */
  function flood(ms: number) {
    const scene = new PoolScene();
    const mac = scene.join("mac-1", { max_concurrency: SLOTS });
    const running = new Map<string, { readonly endsAt: number; readonly end: () => void }>();
    const waits: number[] = [];
    const askedAt = new Map<string, number>();
    let free = 0;
    const startedAt = scene.now;
    for (let asked = 0; scene.now < startedAt + ms; scene.now += EVERY_MS, asked += 1) {
      for (const [id, { endsAt, end }] of running) {
        if (scene.now < endsAt) continue;
        running.delete(id);
        end();
      }
      const requestId = `req_${asked}`;
      askedAt.set(requestId, scene.now);
      scene.ask({ requestId, slots: SLOTS });
      for (const sent of scene.requestsOf(mac)) {
        const id = String(sent.request["request_id"]);
        waits.push(scene.now - (askedAt.get(id) ?? Number.NaN));
        const holdMs = HOLD_MS / 2 + ((asked * 37) % 100) * EVERY_MS;
        running.set(id, { endsAt: scene.now + holdMs, end: () => scene.serve(sent, "x") });
      }
      if (scene.now >= startedAt + HOLD_MS) free += SLOTS - running.size;
      if (asked % 25 === 0) scene.pool.tick(scene.now);
      mac.socket.pongAt = scene.now;
    }
    const slotTicks = ((ms - HOLD_MS) / EVERY_MS) * SLOTS;
    return { scene, waits, freeShare: free / slotTicks };
  }

  it("keeps its slots busy, and those whom it takes hardly wait", () => {
    const { waits, freeShare } = flood(60_000);
    expect(freeShare).toBeLessThan(0.01);
    expect(meanOf(waits.slice(SLOTS, 200))).toBeGreaterThan(HOLD_MS / 2);
    expect(meanOf(waits.slice(-200))).toBeLessThan(HOLD_MS / 5);
  });

  it("takes a key in that holds nothing for one that holds all, however short the line is", () => {
    const { scene } = flood(60_000);
    expect(scene.pool.report(scene.now, SLOTS).queued).toBeLessThan(4);
    const other = scene.ask({ keyId: "other", slots: SLOTS });
    expect(other.ended).toBeNull();
  });
});
