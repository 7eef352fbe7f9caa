import { describe, expect, it } from "vitest";

import { WRONGLY_REFUSED } from "../../../../core/pool/refusal-audit.ts";
import { PoolScene } from "./pool-scene.ts";

const KIB = 1024;
const MIB = 1024 * KIB;

/** JSON of so many characters. */
function body(chars: number): string {
  const [before, after] = ['{"x":"', '"}'];
  return before + "x".repeat(chars - before.length - after.length) + after;
}

const SHORT = body(256 * KIB);
const LONG = body(256 * KIB + 1);
const LONGEST = body(16 * MIB);

/** A machine with one slot, which is taken, and a line whose requests have all the room that there is for long ones. */
function fullScene() {
  const scene = new PoolScene();
  const mac = scene.join("mac-1", { max_concurrency: 1 });
  scene.ask();
  const running = scene.requestOf(mac);
  const waiting = Array.from({ length: 3 }, () => scene.ask({ body: LONGEST }));
  return { scene, mac, running, waiting };
}

describe("[C6] long requests of a pool", () => {
  it("have 48 MiB together: what exceeds it is refused and counted, and nobody else is", () => {
    const { scene, waiting } = fullScene();
    expect(waiting.map(({ ended }) => ended)).toEqual([null, null, null]);
    const refused = scene.ask({ body: LONG });
    expect(refused.refusal).toMatchObject({
      code: "queue_full",
      message: expect.stringMatching(/too many long requests/),
    });
    expect(scene.pool.ledger.demand.totals().arrivals).toBe(5);
    expect(scene.outcomes()).toEqual({ queue_full: 1 });
    expect(waiting.map(({ ended }) => ended)).toEqual([null, null, null]);
  });

  it("take no room from those of 256 KiB", () => {
    const { scene } = fullScene();
    const short = Array.from({ length: 29 }, () => scene.ask({ body: SHORT }));
    expect(short.map(({ ended }) => ended)).toEqual(short.map(() => null));
    expect(scene.pool.report(scene.now, 1)).toMatchObject({ inFlight: 1, queued: 32 });
  });

  it("count also while they run, and no more once they have ended, whatever their end", () => {
    const { scene, mac, running, waiting } = fullScene();
    scene.serve(running, "x");
    const longest = scene.requestOf(mac);
    expect(scene.ask({ body: LONG }).refusedWith).toBe("queue_full");
    scene.serve(longest, "x");
    expect(waiting.map(({ ended }) => ended)).toEqual(["finished", null, null]);
    const [, , last] = waiting;
    if (last !== undefined) scene.pool.abandon(last.request, scene.now);
    const inTheirPlace = [LONGEST, LONGEST].map((each) => scene.ask({ body: each }));
    expect(inTheirPlace.map(({ ended }) => ended)).toEqual([null, null]);
    expect(scene.ask({ body: LONG }).refusedWith).toBe("queue_full");
  });

  it("count no more once their answer streams, since no machine can be sent them again", () => {
    const scene = new PoolScene();
    const macs = [scene.join("mac-1", { max_concurrency: 4 }), scene.join("mac-2", { max_concurrency: 4 })];
    const clients = [true, true, false].map((stream) => scene.ask({ body: LONGEST, stream }));
    const sent = macs.flatMap((mac) => scene.requestsOf(mac));
    for (const each of sent) scene.accept(each);
    expect(scene.ask({ body: LONG }).refusedWith).toBe("queue_full");
    for (const each of sent) scene.bytes(each, "x");
    // An answer that is sent whole may still be tried elsewhere.
    expect(clients.map(({ request }) => request.body === null)).toEqual([true, true, false]);
    const inTheirPlace = [LONGEST, LONGEST].map((each) => scene.ask({ body: each }));
    expect(inTheirPlace.map(({ ended }) => ended)).toEqual([null, null]);
    expect(scene.ask({ body: LONG }).refusedWith).toBe("queue_full");
    for (const each of sent) scene.finish(each);
    expect(clients.map(({ ended, request }) => [ended, request.body])).toEqual([
      ["finished", null],
      ["finished", null],
      ["complete", null],
    ]);
  });

  it("count for what they take in memory, which is twice as much with one character beyond Latin-1", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1", { max_concurrency: 1 });
    const wide = (chars: number): string => body(chars).replace("x", "€");
    expect(scene.ask({ body: wide(16 * MIB) }).ended).toBeNull();
    expect(scene.ask({ body: wide(8 * MIB + 1) }).refusedWith).toBe("queue_full");
    expect(scene.ask({ body: body(16 * MIB).replace("x", "ü") }).ended).toBeNull();
    expect(scene.ask({ body: LONG }).refusedWith).toBe("queue_full");
    scene.serve(scene.requestOf(mac), "x");
    expect(scene.ask({ body: wide(16 * MIB) }).ended).toBeNull();
  });

  it("that were refused have taken nothing", () => {
    const { scene, waiting } = fullScene();
    for (let i = 0; i < 5; i++) expect(scene.ask({ body: LONGEST }).refusedWith).toBe("queue_full");
    const [, , last] = waiting;
    if (last !== undefined) scene.pool.abandon(last.request, scene.now);
    expect(scene.ask({ body: LONGEST }).ended).toBeNull();
  });

  it("say by their refusal nothing of short ones, which the edge would refuse with them for a moment", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1", { max_concurrency: 1 });
    scene.ask();
    scene.now += 1_000;
    scene.serve(scene.requestOf(mac), "x");
    for (let i = 0; i < 3; i++) scene.ask({ body: LONGEST });
    expect(scene.ask({ body: LONG }).refusal).toMatchObject({ code: "queue_full", holdsForMs: 0 });
  });

  it("are not wrongly refused beside a machine that has room: it is the pool that has none", () => {
    const scene = new PoolScene();
    scene.join("mac-1", { max_concurrency: 4 });
    for (let i = 0; i < 3; i++) scene.ask({ body: LONGEST });
    expect(scene.ask({ body: LONG }).refusedWith).toBe("queue_full");
    expect(scene.ask().ended).toBeNull();
    expect(scene.pool.ledger.totals.get(`${WRONGLY_REFUSED}queue_full`)).toBe(0);
  });
});
