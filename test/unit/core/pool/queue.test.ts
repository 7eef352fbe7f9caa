import { describe, expect, it } from "vitest";

import { epochSchema, machineIdSchema } from "../../../../protocol/ids.ts";
import { PoolScene, type Machine } from "./pool-scene.ts";

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

describe("the queue", () => {
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
    scene.now += 1;
    scene.pool.sweep(scene.now);
    expect([...scene.remembered]).toEqual([]);
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
    scene.pool.release(machineIdSchema.parse("mac-1"), epochSchema.parse(1), scene.now);
    scene.lose(mac);
    expect(scene.ask().refusedWith).toBe("model_unavailable");
  });
});
