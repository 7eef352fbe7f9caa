import { describe, expect, it } from "vitest";

import { BREAKER_MAX_MS } from "../../../../core/limits.ts";
import { PoolScene, type Machine, type Sent } from "./pool-scene.ts";

const readsAt = (prefill_tps: number) => ({ models: [{ id: "m", size_bytes: 1, prefill_tps }] });
const FAST = { ...readsAt(100_000), max_concurrency: 3 };

/** Two machines of which requests go to the first as long as it may have them: the other is slower. */
function pair(): { scene: PoolScene; bad: Machine; good: Machine } {
  const scene = new PoolScene();
  const bad = scene.join("mac-1", FAST);
  const good = scene.join("mac-2", { ...readsAt(10), max_concurrency: 3 });
  return { scene, bad, good };
}

type Trouble = (scene: PoolScene, sent: Sent) => void;
const fault: Trouble = (scene, sent) => scene.error(sent, "fault", "broken");

/** A request that meets trouble on the bad machine and is served by the other. */
function trip({ scene, bad, good }: ReturnType<typeof pair>, trouble: Trouble = fault): void {
  scene.ask();
  trouble(scene, scene.requestOf(bad));
  for (const sent of scene.requestsOf(good)) scene.serve(sent, "x");
}

/** It accepts, and then sends more than may go out. */
const endless: Trouble = (scene, sent) => {
  scene.accept(sent);
  for (let i = 0; i < 17; i++) scene.rawBytes(sent, "x".repeat(64 * 1024));
  scene.error(sent, "cancelled", "cancelled");
};

function blockedBy(scene: PoolScene, machine: Machine): string | null | undefined {
  const { machineId } = machine.connection.identity;
  return scene.pool.report(scene.now, 4).machines.find((report) => report.machineId === machineId)?.blockedBy;
}

/** Which machine the next request goes to; it is served there. */
function next({ scene, bad, good }: ReturnType<typeof pair>): string {
  scene.ask();
  for (const machine of [bad, good]) {
    for (const sent of scene.requestsOf(machine)) {
      scene.serve(sent, "x");
      return machine.connection.identity.machineId;
    }
  }
  return "none";
}

describe("[F15] the breaker of a machine", () => {
  it("opens after three faults in a row, is shown, and tries one request after 10 s", () => {
    const at = pair();
    trip(at);
    trip(at);
    expect(blockedBy(at.scene, at.bad)).toBeNull();
    trip(at);
    expect(blockedBy(at.scene, at.bad)).toBe("breaker_open");
    expect(next(at)).toBe("mac-2");
    at.scene.now += 9999;
    expect(next(at)).toBe("mac-2");
    at.scene.now += 1;
    expect(blockedBy(at.scene, at.bad)).toBeNull();
    for (let i = 0; i < 2; i++) at.scene.ask();
    expect(at.scene.requestsOf(at.bad)).toHaveLength(1);
    expect(at.scene.requestsOf(at.good)).toHaveLength(1);
  });

  it("opens also after events without an end, and the request goes elsewhere", () => {
    const at = pair();
    for (let i = 0; i < 3; i++) trip(at, endless);
    expect(blockedBy(at.scene, at.bad)).toBe("breaker_open");
    expect(at.scene.outcomes()).toEqual({ ok: 3 });
  });

  it("is closed by a success", () => {
    const at = pair();
    for (let i = 0; i < 3; i++) trip(at);
    at.scene.now += 10_000;
    expect(next(at)).toBe("mac-1");
    for (let i = 0; i < 2; i++) at.scene.ask();
    expect(at.scene.requestsOf(at.bad)).toHaveLength(2);
  });

  it("stays closed if there was a success in between", () => {
    const at = pair();
    for (let i = 0; i < 10; i++) {
      trip(at);
      trip(at);
      expect(next(at)).toBe("mac-1");
    }
  });

  it("opens for twice as long each time, two minutes at most", () => {
    const at = pair();
    for (let i = 0; i < 3; i++) trip(at);
    for (const seconds of [10, 20, 40, 80, 120, 120]) {
      at.scene.now += seconds * 1000 - 1;
      at.scene.heartbeat(at.good);
      at.scene.heartbeat(at.bad);
      expect(next(at)).toBe("mac-2");
      at.scene.now += 1;
      trip(at);
    }
    expect(at.bad.connection.breaker?.backOffMs).toBe(BREAKER_MAX_MS);
  });

  it.each([
    ["of which parts had been sent", true],
    ["that had not begun", false],
  ])("opens for no longer if its engine dies under many requests %s", (_, hasBegun) => {
    const scene = new PoolScene();
    const bad = scene.join("mac-1", { ...FAST, max_concurrency: 8 });
    const good = scene.join("mac-2", { ...readsAt(1), max_concurrency: 8 });
    const running = Array.from({ length: 8 }, () => {
      scene.ask({ slots: 8 });
      return scene.requestOf(bad);
    });
    if (hasBegun) {
      for (const sent of running) {
        scene.accept(sent);
        scene.bytes(sent, "half");
      }
    }
    for (const sent of running) scene.error(sent, "fault", "engine_died");
    for (const sent of scene.requestsOf(good)) scene.serve(sent, "x");
    expect(blockedBy(scene, bad)).toBe("breaker_open");
    scene.now += 10_000;
    expect(blockedBy(scene, bad)).toBeNull();
  });

  it("opens as soon as another machine's answer begins", () => {
    const at = pair();
    for (let i = 0; i < 3; i++) {
      at.scene.ask();
      fault(at.scene, at.scene.requestOf(at.bad));
      const again = at.scene.requestOf(at.good);
      at.scene.accept(again);
      at.scene.bytes(again, "x");
    }
    expect(blockedBy(at.scene, at.bad)).toBe("breaker_open");
  });

  it("belongs to the machine and not to its socket, and a pool that has slept knows nothing of it", () => {
    const at = pair();
    for (let i = 0; i < 3; i++) trip(at);
    at.scene.lose(at.bad);
    const back = at.scene.join("mac-1");
    expect(blockedBy(at.scene, back)).toBe("breaker_open");
    const { scene, machines } = at.scene.sleep(back, at.good);
    expect(machines.map((machine) => blockedBy(scene, machine))).toEqual([null, null]);
  });

  it("opens on the socket that the machine has dialed before it was known whose fault it was", () => {
    const at = pair();
    const retried = [1, 2, 3].map(() => {
      at.scene.ask();
      fault(at.scene, at.scene.requestOf(at.bad));
      return at.scene.requestOf(at.good);
    });
    at.scene.lose(at.bad);
    const back = at.scene.join("mac-1");
    for (const sent of retried) at.scene.serve(sent, "x");
    expect(blockedBy(at.scene, back)).toBe("breaker_open");
  });

  it("never closes a whole pool", () => {
    const at = pair();
    for (let i = 0; i < 3; i++) trip(at);
    at.scene.lose(at.good);
    expect(blockedBy(at.scene, at.bad)).toBeNull();
    for (let i = 0; i < 3; i++) at.scene.ask();
    expect(at.scene.requestsOf(at.bad)).toHaveLength(3);
    const waiting = at.scene.ask();
    expect(waiting.ended).toBeNull();
    const other = at.scene.join("mac-3");
    expect(at.scene.requestsOf(other)).toHaveLength(1);
    expect(blockedBy(at.scene, at.bad)).toBe("breaker_open");
  });

  it("never closes a pool whose other machines are no use to the public", () => {
    const at = pair();
    at.scene.join("mac-3", { private_only: true });
    for (let i = 0; i < 3; i++) trip(at);
    at.scene.heartbeat(at.good, { accepting: false });
    expect(next(at)).toBe("mac-1");
  });

  it("keeps requests away also while all others are busy", () => {
    const at = pair();
    for (let i = 0; i < 3; i++) trip(at);
    for (let i = 0; i < 4; i++) at.scene.ask();
    expect(at.scene.requestsOf(at.good)).toHaveLength(3);
    expect(at.scene.requestsOf(at.bad)).toEqual([]);
  });

  it("tries one request at a time only while another machine may take the next", () => {
    const at = pair();
    for (let i = 0; i < 3; i++) trip(at);
    at.scene.lose(at.good);
    at.scene.now += 10_000;
    at.scene.heartbeat(at.bad, { max_concurrency: 3 });
    for (let i = 0; i < 3; i++) at.scene.ask();
    expect(at.scene.requestsOf(at.bad)).toHaveLength(3);
    expect(at.scene.pool.report(at.scene.now, 4).machines[0]).toMatchObject({ inFlight: 3, freeSlots: 0 });
  });

  it("says nothing to its owner", () => {
    const at = pair();
    for (let i = 0; i < 3; i++) trip(at);
    const owner = { machines: new Set(["mac-1"]), otherwise: "wait", isSwitching: false } as const;
    at.scene.ask({ owner });
    expect(at.scene.requestsOf(at.bad)).toHaveLength(1);
  });
});

describe("[F15] no breaker opens because of", () => {
  it.each<[string, Trouble]>([
    ["a refusal", (scene, sent) => scene.error(sent, "capacity", "no_free_slot")],
    ["a switch", (scene, sent) => scene.error(sent, "capacity", "switching_model")],
    ["what the client got wrong", (scene, sent) => scene.error(sent, "client", "context_length_exceeded")],
    [
      "a client that left",
      (scene, sent) => {
        const { request } = sent.machine.connection.attempts.get(Number(sent.request["stream"])) ?? {};
        if (request != null) scene.pool.abandon(request, scene.now);
        scene.error(sent, "cancelled", "cancelled");
      },
    ],
  ])("%s", (_, trouble) => {
    const at = pair();
    for (let i = 0; i < 10; i++) {
      trip(at, trouble);
      at.scene.now += 500;
    }
    expect(at.bad.connection.breaker).toBeNull();
  });

  it("lost sockets", () => {
    const at = pair();
    for (let i = 0; i < 10; i++) {
      const bad = i === 0 ? at.bad : at.scene.join("mac-1", FAST);
      at.scene.ask();
      at.scene.requestOf(bad);
      at.scene.lose(bad);
      for (const again of at.scene.requestsOf(at.good)) at.scene.serve(again, "x");
    }
    expect(at.scene.join("mac-1").connection.breaker).toBeNull();
  });

  it("a request that fails wherever it is sent", () => {
    const at = pair();
    for (let i = 0; i < 10; i++) {
      const poison = at.scene.ask();
      at.scene.error(at.scene.requestOf(at.bad), "fault", "crash");
      at.scene.error(at.scene.requestOf(at.good), "fault", "crash");
      expect(poison.refusedWith).toBe("provider_error");
    }
    expect([at.bad.connection.breaker, at.good.connection.breaker]).toEqual([null, null]);
  });

  it.each([
    ["a stream that breaks wherever it is sent, before an event of it is whole", true],
    ["an answer that breaks wherever it is sent, before it is whole", false],
  ])("%s", (_, stream) => {
    const at = pair();
    for (let i = 0; i < 10; i++) {
      const poison = at.scene.ask({ stream });
      for (const machine of [at.bad, at.good]) {
        const sent = at.scene.requestOf(machine);
        at.scene.accept(sent);
        at.scene.rawBytes(sent, 'data: {"choi');
        at.scene.error(sent, "fault", "crash");
      }
      expect(poison.refusedWith).toBe("provider_error");
    }
    expect([at.bad.connection.breaker, at.good.connection.breaker]).toEqual([null, null]);
  });
});

it("[F15] a fault in the middle of an answer is the machine's own", () => {
  const at = pair();
  for (let i = 0; i < 3; i++) {
    at.scene.ask();
    const sent = at.scene.requestOf(at.bad);
    at.scene.accept(sent);
    at.scene.bytes(sent, "half");
    at.scene.error(sent, "fault", "crash");
  }
  expect(blockedBy(at.scene, at.bad)).toBe("breaker_open");
});

it("[F15] a trial that has failed is the last until it is known whose fault that was", () => {
  const at = pair();
  for (let i = 0; i < 3; i++) trip(at);
  at.scene.now += 10_000;
  at.scene.ask();
  at.scene.error(at.scene.requestOf(at.bad), "fault", "crash");
  at.scene.ask();
  expect(at.scene.requestsOf(at.bad)).toEqual([]);
  expect(at.scene.requestsOf(at.good)).toHaveLength(2);
});
