import { describe, expect, it } from "vitest";

import { LOAD_TIMEOUT_MS, TICK_INTERVAL_MS } from "../../../../core/limits.ts";
import { Line } from "../../../../core/pool/line.ts";
import type { Priority } from "../../../../core/pool/priority.ts";
import type { PoolRequest } from "../../../../core/pool/request.ts";
import { epochSchema, machineIdSchema } from "../../../../protocol/ids.ts";
import { MODEL, PoolScene, type Machine } from "./pool-scene.ts";

/** A machine with one slot, which is taken. */
function busyScene() {
  const scene = new PoolScene();
  const mac = scene.join("mac-1", { max_concurrency: 1 });
  const running = scene.ask({ stream: false });
  return { scene, mac, running, sent: scene.requestOf(mac) };
}

function idsOf(scene: PoolScene, mac: Machine): unknown[] {
  return scene.requestsOf(mac).map(({ request }) => request["request_id"]);
}

describe("the line", () => {
  it("hands freed slots to the longest waiting", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1", { max_concurrency: 1 });
    for (const requestId of ["req_a", "req_b", "req_c"]) scene.ask({ requestId });
    const order = [];
    for (let i = 0; i < 3; i++) {
      const sent = scene.requestOf(mac);
      order.push(sent.request["request_id"]);
      scene.serve(sent, "x");
    }
    expect(order).toEqual(["req_a", "req_b", "req_c"]);
  });

  it("keeps the order of arrival for what comes back into it", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1", { max_concurrency: 3 });
    for (const requestId of ["req_a", "req_b", "req_c", "req_d"]) {
      scene.ask({ requestId });
      scene.now += 1;
    }
    expect(idsOf(scene, mac)).toEqual(["req_a", "req_b", "req_c"]);
    scene.lose(mac);
    const back = scene.join("mac-1", { max_concurrency: 4 });
    expect(idsOf(scene, back)).toEqual(["req_a", "req_b", "req_c", "req_d"]);
  });

  it("refuses the 33rd waiting request", () => {
    const { scene } = busyScene();
    const waiting = Array.from({ length: 32 }, () => scene.ask());
    expect(scene.ask().refusedWith).toBe("queue_full");
    expect(waiting.map(({ ended }) => ended)).toEqual(waiting.map(() => null));
    expect(scene.pool.report(scene.now, 4)).toMatchObject({ inFlight: 1, queued: 32 });
  });

  it("refuses after 6 s, with a status", () => {
    const { scene, mac } = busyScene();
    const waiting = [scene.ask({ stream: true }), scene.ask({ stream: false })];
    scene.advance(5750, mac);
    expect(waiting.map(({ ended }) => ended)).toEqual([null, null]);
    scene.advance(250, mac);
    for (const client of waiting) {
      expect(client.refusedWith).toBe("queue_timeout");
    }
    expect(scene.pool.report(scene.now, 4).queued).toBe(0);
  });

  it("keeps those who wait for a busy machine when flags change", () => {
    const { scene } = busyScene();
    const waiting = scene.ask();
    scene.flags({});
    expect(waiting.ended).toBeNull();
  });

  it("refuses with 503 and not with 429 when the machine it waited for has left meanwhile", () => {
    const { scene, mac } = busyScene();
    const waiting = scene.ask();
    scene.heartbeat(mac, { accepting: false });
    scene.advance(6000, mac);
    expect(waiting.refusedWith).toBe("model_unavailable");
  });

  it("forgets a request whose client has gone", () => {
    const { scene, mac, sent } = busyScene();
    const gone = scene.ask({ requestId: "req_gone" });
    scene.ask({ requestId: "req_next" });
    scene.pool.abandon(gone.request, scene.now);
    scene.serve(sent, "x");
    expect(idsOf(scene, mac)).toEqual(["req_next"]);
    expect(gone.ended).toBeNull();
  });

  it("is not overtaken by what comes later, not even before the next tick", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1", { max_concurrency: 1 });
    scene.ask({ requestId: "req_first" });
    scene.error(scene.requestOf(mac), "capacity", "no_free_slot");
    scene.now += 500;
    scene.ask({ requestId: "req_second" });
    expect(idsOf(scene, mac)).toEqual(["req_first"]);
  });
});

describe("a line that no machine takes anything of", () => {
  /** How often requests that need machines with so much context are offered. */
  function offered(
    contexts: readonly number[],
    isTaken: (context: number) => boolean = () => false,
  ): number[] {
    const scene = new PoolScene();
    const line = new Line(() => 0);
    const needs = new Map(contexts.map((context) => [scene.ask().request, context]));
    const needOf = (request: PoolRequest): number => needs.get(request) ?? 0;
    for (const request of needs.keys()) line.add(request, Infinity);
    const asked: number[] = [];
    const take = (request: PoolRequest): boolean => {
      asked.push(needOf(request));
      return isTaken(needOf(request));
    };
    line.offer(take, needOf, scene.now);
    return asked;
  }

  it("asks once for all that need as much, and again for what needs less", () => {
    expect(offered([8192, 32_768, 8192, 4096, 8192, 0, 4096, 0])).toEqual([8192, 4096, 0]);
  });

  it("goes on behind those that need more than there is", () => {
    expect(offered([8192, 8192, 0, 8192, 0], (context) => context === 0)).toEqual([8192, 0, 8192, 0, 8192]);
  });
});

describe("what makes room is noticed at once:", () => {
  it.each([
    ["an answer", ({ scene, sent }: Busy) => scene.serve(sent, "x")],
    ["an error", ({ scene, sent }: Busy) => scene.error(sent, "client", "unsupported")],
    ["a heartbeat with more slots", ({ scene, mac }: Busy) => scene.heartbeat(mac, { max_concurrency: 2 })],
    [
      "a cancel that was answered",
      ({ scene, sent, running }: Busy) => {
        scene.pool.abandon(running.request, scene.now);
        scene.error(sent, "cancelled", "cancelled");
      },
    ],
    [
      "a cancel that came too late",
      ({ scene, sent, running }: Busy) => {
        scene.pool.abandon(running.request, scene.now);
        scene.serve(sent, "x");
      },
    ],
  ])("%s", (_, makeRoom) => {
    const busy = busyScene();
    busy.scene.ask({ requestId: "req_waits" });
    expect(idsOf(busy.scene, busy.mac)).toEqual([]);
    makeRoom(busy);
    expect(idsOf(busy.scene, busy.mac)).toEqual(["req_waits"]);
  });

  it("a machine that joins", () => {
    const { scene } = busyScene();
    scene.ask();
    expect(scene.requestsOf(scene.join("mac-2"))).toHaveLength(1);
  });

  it("a heartbeat after a refusal", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    scene.ask();
    scene.error(scene.requestOf(mac), "capacity", "no_free_slot");
    expect(scene.requestsOf(mac)).toEqual([]);
    scene.heartbeat(mac);
    expect(scene.requestsOf(mac)).toHaveLength(1);
  });
});

type Busy = ReturnType<typeof busyScene>;

describe("[H19] after a restart", () => {
  it("requests wait for the machines that were here", () => {
    const scene = new PoolScene(["mac-1"]);
    const client = scene.ask();
    expect(client.ended).toBeNull();
    scene.advance(2000);
    scene.serve(scene.requestOf(scene.join("mac-1")), "back");
    expect(client.text).toBe("back");
  });

  it("they wait no longer than 6 s", () => {
    const scene = new PoolScene(["mac-1"]);
    const client = scene.ask();
    scene.advance(6000);
    expect(client.refusedWith).toBe("model_unavailable");
  });

  it("nobody is waited for any more 10 s after the start", () => {
    const scene = new PoolScene(["mac-1"]);
    scene.now += 9999;
    expect(scene.ask().ended).toBeNull();
    scene.now += 1;
    expect(scene.ask().refusedWith).toBe("model_unavailable");
  });

  it("nobody is waited for once all are back", () => {
    const scene = new PoolScene(["mac-1"]);
    scene.heartbeat(scene.join("mac-1"), { accepting: false });
    expect(scene.ask().refusedWith).toBe("model_unavailable");
  });

  it("a machine that has slept through it with its socket is not waited for", () => {
    const before = new PoolScene();
    const mac = before.join("mac-1");
    before.heartbeat(mac, { accepting: false });
    const { scene } = before.sleep(mac);
    expect(scene.ask().refusedWith).toBe("model_unavailable");
  });

  it("a machine that does not come back is forgotten by the sweep, but not too soon", () => {
    const scene = new PoolScene(["mac-1"]);
    scene.now += 10_000;
    scene.pool.sweep(scene.now);
    expect([...scene.remembered]).toEqual(["mac-1"]);
    // It wakes for it, and then for nothing more.
    expect(scene.pool.nextTickAt(scene.now)).toBe(scene.now + TICK_INTERVAL_MS);
    scene.now += 1;
    scene.pool.sweep(scene.now);
    expect([...scene.remembered]).toEqual([]);
    expect(scene.pool.nextTickAt(scene.now)).toBeNull();
  });
});

describe("a request that waits is sent at once", () => {
  it("when a machine is admitted, before it says anything more", () => {
    const scene = new PoolScene(["mac-1"]);
    scene.ask();
    const mac = scene.dial("mac-1");
    scene.register(mac);
    scene.admit(mac);
    expect(scene.requestsOf(mac)).toHaveLength(1);
  });

  it("when a machine is let go by the fleet", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    const { machineId } = mac.connection.identity;
    scene.pool.orders.release(machineId, epochSchema.parse(1), scene.now);
    scene.lose(scene.join("mac-2"));
    scene.ask();
    scene.pool.orders.unmanage(machineId, epochSchema.parse(2), scene.now);
    expect(scene.requestsOf(mac)).toHaveLength(1);
  });
});

describe("[C3, C6] a machine that has vanished", () => {
  it("is waited for if it has served here", () => {
    const scene = new PoolScene();
    scene.lose(scene.join("mac-1"));
    expect(scene.ask().ended).toBeNull();
  });

  it("is not waited for if it belongs to another pool", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    scene.pool.orders.release(machineIdSchema.parse("mac-1"), epochSchema.parse(1), scene.now);
    scene.lose(mac);
    expect(scene.ask().refusedWith).toBe("model_unavailable");
  });
});

describe("a request for a pool whose machine loads", () => {
  const MAC = machineIdSchema.parse("mac-1");

  function loadingScene(): { scene: PoolScene; mac: Machine; status: (fields: object) => void } {
    const scene = new PoolScene();
    scene.flags({});
    const mac = scene.join("mac-1", { loaded_models: [] });
    const terms = { drainMs: 30_000, loadMs: LOAD_TIMEOUT_MS, publicKey: "k" };
    scene.pool.orders.expect(MAC, epochSchema.parse(1), terms, scene.now);
    const status = (fields: object): void =>
      scene.say(mac, { type: "assign_model_status", model_id: MODEL, epoch: 1, ...fields });
    return { scene, mac, status };
  }

  it("[C3] is refused at once while nothing says when that ends", () => {
    const { scene, status } = loadingScene();
    expect(scene.ask().refusedWith).toBe("pool_exhausted");
    status({ status: "draining" });
    expect(scene.ask().refusedWith).toBe("pool_exhausted");
    status({ status: "loading", progress: 0.9 });
    expect(scene.ask().refusedWith).toBe("pool_exhausted");
  });

  it("waits if the load is expected to end within 10 s, and is served as soon as it does", () => {
    const { scene, status } = loadingScene();
    status({ status: "loading", progress: 0 });
    scene.now += 6000;
    // 24 s more, as it looks.
    status({ status: "loading", progress: 0.2 });
    expect(scene.ask().refusedWith).toBe("pool_exhausted");
    scene.now += 9000;
    status({ status: "loading", progress: 0.6 });
    const client = scene.ask();
    scene.now += 9000;
    expect(client.ended).toBeNull();
    status({ status: "succeeded" });
    expect(client.request.attempt).not.toBeNull();
  });

  it("waits no longer than half as long again as that, and then is told what it would have been", () => {
    const { scene, status } = loadingScene();
    status({ status: "loading", progress: 0 });
    scene.now += 10_000;
    status({ status: "loading", progress: 0.5 });
    const client = scene.ask();
    scene.advance(14_750);
    expect(client.ended).toBeNull();
    scene.advance(250);
    expect(client.refusal).toMatchObject({ code: "pool_exhausted" });
    expect(client.refusal?.retryAfterS).toBeGreaterThanOrEqual(10);
  });

  it("waits for a minute at most, however long the operator's line may take", () => {
    const { scene, mac, status } = loadingScene();
    scene.flags({ queue_wait_ms: 50_000 });
    status({ status: "loading", progress: 0 });
    scene.advance(30_000, mac);
    status({ status: "loading", progress: 0.4 });
    const client = scene.ask();
    scene.advance(59_750, mac);
    expect(client.ended).toBeNull();
    scene.advance(250, mac);
    expect(client.refusedWith).toBe("pool_exhausted");
  });

  it.each([
    ["its own deadline is sooner", { deadlineMs: 9000 }, {}],
    ["the line is switched off", {}, { queue_wait_ms: 0 }],
    ["it wants a machine of its owner", { owner: OWN }, {}],
  ])("does not wait if %s", (_, ask, flags) => {
    const { scene, status } = loadingScene();
    scene.flags(flags);
    status({ status: "loading", progress: 0 });
    scene.now += 10_000;
    status({ status: "loading", progress: 0.5 });
    expect(scene.ask(ask).refusedWith).not.toBeNull();
  });

  it("is told at once if the load fails", () => {
    const { scene, status } = loadingScene();
    status({ status: "loading", progress: 0 });
    scene.now += 10_000;
    status({ status: "loading", progress: 0.9 });
    const client = scene.ask();
    status({ status: "failed", error: { code: "load_failed", message: "no" } });
    expect(client.refusedWith).toBe("pool_exhausted");
  });

  it.each<[string, (scene: PoolScene) => void]>([
    ["takes too long", (scene) => scene.advance(1000)],
    [
      "is of a machine that is called away",
      (scene) => scene.pool.orders.release(MAC, epochSchema.parse(2), scene.now),
    ],
    [
      "is of a machine that is cordoned",
      (scene) => scene.pool.orders.cordon(MAC, { isCordoned: true, cordonAsOf: scene.now }, scene.now),
    ],
  ])("is told at once if the load %s", (_, end) => {
    const { scene, status } = loadingScene();
    status({ status: "loading", progress: 0 });
    scene.now += LOAD_TIMEOUT_MS - 1000;
    status({ status: "loading", progress: 0.5 });
    const client = scene.ask();
    expect(client.ended).toBeNull();
    end(scene);
    expect(client.refusedWith).toBe("pool_exhausted");
  });
});

const OWN = { machines: new Set(["mac-9"]), otherwise: "wait", isSwitching: false } as const;

describe("between keys that wait", () => {
  interface Turn {
    readonly keyId: string;
    readonly priority?: Priority;
  }

  /** A machine with so many slots, all taken by key "a", and who waits for them. */
  function crowd(slots: number, waiting: readonly Turn[]): { scene: PoolScene; mac: Machine } {
    const scene = new PoolScene();
    const mac = scene.join("mac-1", { max_concurrency: slots });
    for (let i = 0; i < slots; i++) scene.ask({ keyId: "a" });
    waiting.forEach((turn, index) => scene.ask({ ...turn, requestId: `req_${turn.keyId}_${index}` }));
    return { scene, mac };
  }

  /** Ends one running request after the other, and tells whose turn came. */
  function turns({ scene, mac }: { scene: PoolScene; mac: Machine }, count: number): string {
    const running = scene.requestsOf(mac);
    const order: string[] = [];
    for (let i = 0; i < count; i++) {
      const next = running.shift();
      if (next === undefined) break;
      scene.serve(next, "x");
      const sent = scene.requestsOf(mac);
      order.push(...sent.map(({ request }) => String(request["request_id"]).split("_")[1] ?? "?"));
      running.push(...sent);
    }
    return order.join(" ");
  }

  const of = (keys: string, priority: Priority = "normal"): Turn[] =>
    keys.split("").map((keyId) => ({ keyId, priority }));

  it("the slots are shared evenly, however many each waits with", () => {
    expect(turns(crowd(4, of("aaaaaaaabbbbcc")), 14)).toBe("b c a b c a b a b a a a a a");
  });

  it("a key alone takes every slot", () => {
    const { scene, mac } = crowd(4, of("aaaa"));
    expect(scene.requestsOf(mac)).toHaveLength(4);
    expect(turns(crowd(4, of("aaaa")), 4)).toBe("a a a a");
  });

  it("one with a better priority goes first, and waiting makes up for a worse one", () => {
    const fresh = crowd(1, [...of("lll", "low"), ...of("nn"), ...of("h", "high")]);
    expect(turns(fresh, 6)).toBe("h n n l l l");
    const after = (ms: number): string => {
      const aged = crowd(1, of("l", "low"));
      aged.scene.advance(ms, aged.mac);
      for (const turn of of("hh", "high")) aged.scene.ask({ ...turn, requestId: "req_h_9" });
      return turns(aged, 1);
    };
    expect([3750, 4000].map(after)).toEqual(["h", "l"]);
  });

  it("a full line takes a newcomer in for one of a key that has more than its share", () => {
    const { scene } = crowd(1, []);
    const flood = Array.from({ length: 32 }, () => scene.ask({ keyId: "a" }));
    const other = scene.ask({ keyId: "b" });
    expect(other.ended).toBeNull();
    expect(flood.map(({ refusedWith }) => refusedWith).filter((code) => code !== null)).toEqual([
      "queue_full",
    ]);
    expect(flood.at(-1)?.refusal).toMatchObject({ code: "queue_full", holdsForKey: true });
    expect(scene.ask({ keyId: "a" }).refusedWith).toBe("queue_full");
    const many = Array.from({ length: 40 }, () => scene.ask({ keyId: "b" }));
    expect(many.filter(({ ended }) => ended === null)).toHaveLength(15);
    expect(scene.outcomes()).toEqual({ queue_full: 42 });
  });

  it("a full line takes a newcomer in for one of the key that has most", () => {
    const { scene } = crowd(1, [...of("a".repeat(20)), ...of("b".repeat(12))]);
    scene.ask({ keyId: "c" });
    expect(scene.pool.ledger.usage.drain()).toMatchObject([{ keyId: "a", outcome: "queue_full" }]);
  });

  it("not even a flood of high priority keeps a low one out of the line", () => {
    const { scene } = crowd(1, []);
    for (let i = 0; i < 50; i++) scene.ask({ keyId: "h", priority: "high" });
    const low = Array.from({ length: 20 }, () => scene.ask({ keyId: "l", priority: "low" }));
    expect(low.filter(({ ended }) => ended === null)).toHaveLength(6);
    expect(scene.pool.report(scene.now, 4).queued).toBe(32);
  });
});
