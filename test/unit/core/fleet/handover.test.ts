import { describe, expect, it } from "vitest";

import { MAX_EPOCH } from "../../../../protocol/ids.ts";
import { A, aMachineReport, B, epoch, FleetScene, MAC, type Made } from "./fleet-scene.ts";

const orders = (calls: readonly Made[]) => calls.filter(({ call }) => call.kind === "order");

/** A machine that serves pools a and b unmanaged and has just been pinned to b. */
function pinned(): FleetScene {
  const scene = new FleetScene();
  scene.join(A, B);
  scene.calls();
  expect(scene.core.orders.pin(MAC, B, scene.now)).toMatchObject({ ok: true, epoch: 1 });
  return scene;
}

/** The same machine, once it serves b. */
function serving(): FleetScene {
  const scene = pinned();
  scene.confirmAll();
  scene.observe(B, "assigned", 1);
  scene.calls();
  return scene;
}

describe("a switch", () => {
  it("[H1] asks every other pool to let go before the target is told to expect the machine", () => {
    const scene = pinned();
    const [release, ...others] = scene.calls();
    expect(others).toEqual([]);
    expect(release).toMatchObject({ pool: A, call: { kind: "release", epoch: 1 } });
    scene.confirm(release as Made);
    expect(scene.callNames()).toEqual(["expect b"]);
  });

  it("[H6] tells the machine only after the target has acknowledged, through every pool that may hold a socket", () => {
    const scene = pinned();
    scene.confirm(scene.calls()[0] as Made);
    const [expectCall] = scene.calls();
    scene.confirm(expectCall as Made);
    const sent = scene.calls();
    expect(sent.map(({ pool }) => pool).toSorted()).toEqual([A, B]);
    expect(sent[0]).toMatchObject({ call: { kind: "order", order: { model_id: B, epoch: 1, pools: [B] } } });
  });

  it("[H6] repeats the order until the target has a status for it, and not after that", () => {
    const scene = pinned();
    scene.confirmAll();
    scene.now += 1_000;
    scene.core.retry(scene.now);
    expect(orders(scene.calls())).toHaveLength(2);
    scene.observe(B, "loading", 1);
    scene.now += 60_000;
    scene.core.retry(scene.now);
    expect(scene.calls()).toEqual([]);
    expect(scene.core.nextWakeAt()).toBeNull();
  });

  it("[H6] repeats the order each tick at least, and other calls only as often as H3 says", () => {
    const scene = pinned();
    scene.core.flagBook.set("tick_seconds", "5");
    const nextWaits = (count: number): number[] =>
      Array.from({ length: count }, () => {
        const at = Number(scene.core.nextWakeAt());
        const waited = (at - scene.now) / 1000;
        scene.now = at;
        scene.core.retry(at);
        return waited;
      });
    expect(nextWaits(5)).toEqual([1, 2, 4, 8, 16]);
    scene.confirmAll();
    expect(scene.core.intents.get(MAC)).toMatchObject({ phase: "ordered" });
    expect(nextWaits(6)).toEqual([1, 2, 4, 5, 5, 5]);
    expect(orders(scene.calls()).length).toBeGreaterThan(5);
  });

  it("[H3] is repeated at the next look by a fleet whose clock is behind that of its earlier life", () => {
    const scene = pinned();
    scene.restart();
    scene.calls();
    scene.now -= 3_600_000;
    scene.core.retry(scene.now);
    expect(scene.callNames()).toEqual(["release a"]);
    scene.core.retry(scene.now + 1);
    expect(scene.callNames()).toEqual([]);
  });

  it("[H3] goes on where it was after the fleet has been restarted, in each phase", () => {
    const scene = pinned();
    scene.restart();
    scene.now += 1_000;
    scene.core.retry(scene.now);
    const [release] = scene.calls();
    expect(release).toMatchObject({ pool: A, call: { kind: "release", epoch: 1 } });
    scene.confirm(release as Made);
    scene.restart();
    scene.now += 1_000;
    scene.core.retry(scene.now);
    const [expectCall] = scene.calls();
    expect(expectCall).toMatchObject({ pool: B, call: { kind: "expect", epoch: 1 } });
    scene.confirm(expectCall as Made);
    scene.restart();
    scene.now += 1_000;
    scene.core.retry(scene.now);
    expect(orders(scene.calls())).toHaveLength(2);
  });

  it("[H3] repeats an unanswered release for ever, 1 s to 30 s apart, and takes silence for no answer", () => {
    const scene = pinned();
    scene.calls();
    const waits: number[] = [];
    for (let i = 0; i < 9; i++) {
      const at = Number(scene.core.nextWakeAt());
      waits.push((at - scene.now) / 1000);
      scene.now = at;
      scene.core.retry(at);
      expect(scene.callNames()).toEqual(["release a"]);
    }
    expect(waits).toEqual([1, 2, 4, 8, 16, 30, 30, 30, 30]);
  });

  it("[H4] ignores answers to an older epoch, and takes over its unfinished releases", () => {
    const scene = pinned();
    const [older] = scene.calls();
    expect(scene.core.orders.pin(MAC, A, scene.now)).toMatchObject({ epoch: 2 });
    const [release] = scene.calls();
    expect(release).toMatchObject({ pool: B, call: { kind: "release", epoch: 2 } });
    scene.confirm(older as Made);
    expect(scene.calls()).toEqual([]);
    scene.confirm(release as Made);
    expect(scene.callNames()).toEqual(["expect a"]);
    expect(scene.store.switches(9)).toMatchObject([{ epoch: 1, outcome: "superseded" }]);
  });

  it("[H4] [D1] begins again above an epoch that a pool knows and the fleet does not", () => {
    const scene = pinned();
    const [{ pool, call }] = scene.calls() as [Made];
    const verdict = { ok: false, stale: epoch(9) } as const;
    scene.core.replied(pool, call, { kind: "verdict", verdict }, scene.now);
    expect(scene.core.intents.get(MAC)).toMatchObject({ epoch: 10, model: B });
    expect(scene.callNames()).toEqual(["release a"]);
  });

  it("[H3] sends a machine that dials while its pools let go to the target, out of use", () => {
    const scene = pinned();
    expect(scene.dial(A)).toMatchObject({ pool: B, stamp: { mode: "released", epoch: 1 } });
    scene.confirmAll();
    expect(scene.dial(A)).toMatchObject({ pool: B, stamp: { mode: "managed", epoch: 1 } });
  });

  it("[H8] tells a machine that registers what it is ordered, but not before the target expects it", () => {
    const scene = pinned();
    const held = { model_id: A, epoch: epoch(0) };
    expect(scene.register(B, { assignment: held })).toMatchObject({ assignment: held, pools: [B] });
    scene.confirmAll();
    expect(scene.register(B)).toMatchObject({ assignment: { model_id: B, epoch: 1 }, pools: [B] });
  });

  it("[H6] lets the other pools close their sockets once the machine has arrived", () => {
    const scene = pinned();
    scene.confirmAll();
    scene.dial(B);
    scene.register(B);
    expect(scene.callNames()).toContain("dismiss a");
  });

  it("[C18] to the model the machine holds changes nothing", () => {
    const scene = serving();
    expect(scene.core.orders.pin(MAC, B, scene.now)).toMatchObject({ epoch: 1 });
    expect(scene.calls()).toEqual([]);
  });

  it("[C20] is in the history with its reason, outcome and duration", () => {
    const scene = pinned();
    scene.confirmAll();
    scene.now += 5_000;
    scene.observe(B, "assigned", 1);
    expect(scene.store.switches(1)).toMatchObject([
      { to: B, epoch: 1, reason: "pinned", outcome: "succeeded", tookMs: 5_000 },
    ]);
  });
});

describe("a machine that failed", () => {
  it("[F1] [C19] [H13] cools down and then gets its model again under a new epoch", () => {
    const scene = pinned();
    scene.confirmAll();
    scene.observe(B, "failed", 1, { code: "load_failed", message: "no" });
    expect(scene.dial(A)).toMatchObject({ pool: B, stamp: { mode: "released", epoch: 1 } });
    scene.tick(119_000);
    expect(scene.core.intents.epochOf(MAC)).toBe(1);
    scene.tick(2_000);
    expect(scene.core.intents.get(MAC)).toMatchObject({ epoch: 2, model: B, phase: "releasing" });
  });

  it("[C19] cools down no longer than the flag says, whatever another clock or an earlier flag has made of it", () => {
    for (const isClockBack of [true, false]) {
      const scene = pinned();
      scene.core.flagBook.set("load_cooldown_seconds", isClockBack ? "120" : "3600");
      scene.confirmAll();
      scene.observe(B, "failed", 1, { code: "load_failed", message: "no" });
      scene.restart();
      if (isClockBack) scene.now -= 3_000_000;
      else scene.core.flagBook.set("load_cooldown_seconds", "120");
      scene.core.retry(scene.now);
      expect(scene.core.intents.get(MAC)).toMatchObject({ epoch: 2, model: B, phase: "releasing" });
    }
  });

  it("[H9] because it holds another order of this epoch is ordered a higher one within a second, and no sooner", () => {
    const scene = pinned();
    scene.confirmAll();
    scene.observe(B, "failed", 1, { code: "epoch_conflict", message: "a is held under epoch 1" });
    scene.core.retry(scene.now);
    expect(scene.core.intents.epochOf(MAC)).toBe(1);
    expect(scene.core.nextWakeAt()).toBe(scene.now + 1_000);
    scene.now += 1_000;
    scene.core.retry(scene.now);
    expect(scene.core.intents.get(MAC)).toMatchObject({ epoch: 2, model: B, phase: "releasing" });
  });

  it("after it had served has a line of its own, which counts from there and not from its order", () => {
    const scene = pinned();
    scene.confirmAll();
    scene.now += 6_000;
    scene.observe(B, "assigned", 1);
    scene.now += 90_000;
    scene.observe(B, "failed", 1, { code: "load_failed", message: "no" });
    expect(scene.store.switches(9)).toMatchObject([
      { from: B, to: B, epoch: 1, outcome: "failed", error: "no", tookMs: 90_000 },
      { to: B, epoch: 1, outcome: "succeeded", tookMs: 6_000 },
    ]);
  });

  it("[C19] has one line for its order and one for all retries that fail for the same reason", () => {
    const scene = pinned();
    const fail = (at: number, message: string): void => {
      scene.confirmAll();
      scene.observe(B, "failed", at, { code: "model_not_on_disk", message });
      scene.now += 120_000;
      scene.core.retry(scene.now);
    };
    for (const [at, message] of [
      [1, "gone"],
      [2, "gone"],
      [3, "gone"],
      [4, "damaged"],
      [5, "gone"],
    ] as const)
      fail(at, message);
    expect(scene.store.switches(9).map(({ epoch: at, reason, error }) => [at, reason, error])).toEqual([
      [5, "again after its cooldown", "gone"],
      [4, "again after its cooldown", "damaged"],
      [3, "again after its cooldown", "gone"],
      [1, "pinned", "gone"],
    ]);
  });

  it("has a line for each order of an operator, though they fail alike", () => {
    const scene = pinned();
    for (const at of [1, 2, 3]) {
      scene.confirmAll();
      scene.observe(B, "failed", at, { code: "model_not_on_disk", message: "gone" });
      scene.core.orders.pin(MAC, B, scene.now);
    }
    expect(scene.store.switches(9)).toMatchObject([
      { epoch: 3, reason: "pinned", error: "gone" },
      { epoch: 2, reason: "pinned", error: "gone" },
      { epoch: 1, reason: "pinned", error: "gone" },
    ]);
  });

  it("[D7] stays failed for its epoch, whatever its pool says later", () => {
    const scene = pinned();
    scene.confirmAll();
    scene.observe(B, "failed", 1);
    scene.observe(B, "assigned", 1);
    expect(scene.core.intents.get(MAC)).toMatchObject({ outcome: "failed" });
  });

  it("[H13] is noticed by the tick if its report was lost", () => {
    const scene = serving();
    const record = { mode: "failed", epoch: 1, since: 0, progress: 0, error: null } as const;
    scene.tick(30_000, { b: [aMachineReport({ record })] });
    expect(scene.core.intents.get(MAC)).toMatchObject({ outcome: "failed" });
  });
});

describe("a pool", () => {
  it("[D1] that has lost its record of a machine is told to expect it again, under a new epoch", () => {
    const scene = serving();
    scene.tick(30_000, { b: [aMachineReport()] });
    expect(scene.core.intents.get(MAC)).toMatchObject({ epoch: 2, model: B });
  });

  it("[H1] is asked about a machine until it has neither a socket nor a record of it", () => {
    const scene = serving();
    scene.tick(70_000, { b: [aMachineReport({ record: assigned(1) })] });
    const forget = scene.calls().filter(({ call }) => call.kind === "forget");
    expect(forget.map(({ pool }) => pool)).toEqual([A]);
    expect(scene.core.memberships.of(MAC)).toEqual([A, B]);
    scene.confirm(forget[0] as Made);
    expect(scene.core.memberships.of(MAC)).toEqual([B]);
  });

  it("[H1] is not forgotten if the machine has dialed it meanwhile", () => {
    const scene = serving();
    scene.tick(70_000, { b: [aMachineReport({ record: assigned(1) })] });
    const [forget] = scene.calls().filter(({ call }) => call.kind === "forget");
    scene.core.memberships.add(MAC, A, scene.now);
    scene.confirm(forget as Made);
    expect(scene.core.memberships.of(MAC)).toEqual([A, B]);
  });
});

describe("a release", () => {
  it("[H17] [F2] frees the pool that may route first, then the others, then tells the machine", () => {
    const scene = serving();
    scene.core.orders.release(MAC, "by hand", scene.now);
    const [first] = scene.calls();
    expect(first).toMatchObject({ pool: B, call: { kind: "unmanage", epoch: 2 } });
    scene.confirm(first as Made);
    const [second] = scene.calls();
    expect(second).toMatchObject({ pool: A, call: { kind: "unmanage", epoch: 2 } });
    scene.confirm(second as Made);
    expect(scene.calls()[0]).toMatchObject({ call: { order: { model_id: null, epoch: 2, pools: [A, B] } } });
  });

  it("[H1] asks the pool that has let go once more if the machine has dialed it meanwhile", () => {
    const scene = serving();
    scene.core.orders.release(MAC, "by hand", scene.now);
    scene.confirm(scene.calls()[0] as Made);
    expect(scene.callNames()).toEqual(["unmanage a"]);
    scene.dial(B);
    scene.core.retry(scene.now);
    expect(scene.callNames()).toEqual(["unmanage a", "unmanage b"]);
  });

  it("is done when the machine says so", () => {
    const scene = serving();
    scene.core.orders.release(MAC, "by hand", scene.now);
    scene.confirmAll();
    const held = { model_id: null, epoch: epoch(2) };
    scene.core.told(A, { kind: "holds", machineId: MAC, held }, scene.now);
    expect(scene.core.intents.get(MAC)).toMatchObject({ phase: "done", outcome: "succeeded" });
    expect(scene.dial(A)).toMatchObject({ pool: A, stamp: { mode: "unmanaged", epoch: 2 } });
  });

  it("[C7] of a machine that was never managed sends nothing", () => {
    const scene = new FleetScene();
    scene.join(A, B);
    scene.calls();
    scene.core.orders.release(MAC, "by hand", scene.now);
    expect(scene.calls()).toEqual([]);
  });

  it("[H17] [C21] comes to every machine when the gate goes off, also in the middle of a switch", () => {
    const scene = pinned();
    scene.calls();
    scene.core.flagBook.set("assignment_gate", "off");
    scene.core.orders.obeyFlags(scene.now);
    expect(scene.core.intents.get(MAC)).toMatchObject({ epoch: 2, model: null });
    scene.confirmAll();
    expect(scene.dial(A)).toMatchObject({ stamp: { mode: "unmanaged", epoch: 2 } });
  });

  it("[H14] follows a register that is private or too old", () => {
    for (const fields of [{ private_only: true }, { version: "0.1.0" }]) {
      const scene = serving();
      scene.register(B, fields);
      expect(scene.core.intents.get(MAC)).toMatchObject({ epoch: 2, model: null });
    }
  });
});

it("[H14] [C16] the release of a machine that is too old is recorded and not sent, and its pools let it serve", () => {
  const scene = serving();
  scene.register(B, { version: "0.1.0" });
  const kinds: string[] = [];
  for (let calls = scene.calls(); calls.length > 0; calls = scene.calls()) {
    for (const made of calls) {
      kinds.push(made.call.kind);
      scene.confirm(made);
    }
  }
  expect(kinds).toContain("unmanage");
  expect(kinds).not.toContain("order");
  expect(scene.core.intents.get(MAC)).toMatchObject({ model: null, phase: "done" });
  expect(scene.dial(A)).toMatchObject({ stamp: { mode: "unmanaged", epoch: 2 } });
});

describe("[H9] a machine whose epochs are used up", () => {
  const usedUp = () => {
    const scene = serving();
    const intent = scene.core.intents.get(MAC);
    if (intent === null) throw new Error("it serves without an order");
    scene.core.intents.save({ ...intent, epoch: epoch(MAX_EPOCH) });
    scene.restart();
    return scene;
  };

  it("keeps what it holds, whoever wants to order something else, and each order is reported", () => {
    const scene = usedUp();
    const before = scene.core.intents.get(MAC);
    scene.core.flagBook.set("assignment_gate", "off");
    scene.core.orders.obeyFlags(scene.now);
    scene.core.orders.releaseFrom([B], scene.now);
    expect(scene.usedUp).toEqual([
      "mac-1: the flag assignment_gate is off",
      "mac-1: its model has left the catalog",
    ]);
    expect(scene.core.intents.get(MAC)).toBe(before);
    expect(scene.store.switches(9)).toHaveLength(1);
    expect(scene.callNames()).toEqual([]);
  });

  it("refuses the orders of operators in words that help, but can be shut out", () => {
    const scene = usedUp();
    const error = {
      code: "machine_not_assignable",
      message: expect.stringContaining("another --machine-id") as string,
    };
    expect(scene.core.orders.pin(MAC, A, scene.now)).toEqual({ ok: false, error });
    expect(scene.core.orders.release(MAC, "by hand", scene.now)).toEqual(error);
    expect(scene.core.quarantine(MAC, scene.now)).toBeNull();
    expect(scene.callNames()).toContain("expel b");
    expect(scene.dial(B)).toMatchObject({ ok: false, error: { code: "machine_not_allowed" } });
  });

  it("may come back, with the highest epoch or after its pool has lost its record", () => {
    const scene = usedUp();
    const held = { model_id: B, epoch: epoch(MAX_EPOCH) };
    expect(scene.register(B, { assignment: held })).toMatchObject({ admitted: true });
    scene.tick(30_000, { b: [aMachineReport()] });
    expect(scene.usedUp).toEqual(["mac-1: the pool had lost its record"]);
  });
});

describe("a register", () => {
  it("[H9] [D1] [F6] with a higher epoch raises the fleet's above it", () => {
    const scene = serving();
    scene.register(B, { assignment: { model_id: A, epoch: epoch(50) } });
    expect(scene.core.intents.get(MAC)).toMatchObject({ epoch: 51, model: B });
  });

  it("[H9] with the same epoch for another model gets a higher one", () => {
    const scene = serving();
    scene.register(B, { assignment: { model_id: A, epoch: epoch(1) } });
    expect(scene.core.intents.get(MAC)).toMatchObject({ epoch: 2, model: B });
  });

  it("[H9] [D1] with an epoch that no order could outdo is closed, and a heartbeat with it changes nothing", () => {
    const scene = serving();
    const held = { model_id: A, epoch: epoch(2 ** 48 - 2 ** 32 + 1) };
    expect(scene.register(B, { assignment: held })).toEqual({ admitted: false, close: "badMessage" });
    scene.core.told(B, { kind: "holds", machineId: MAC, held }, scene.now);
    expect(scene.core.intents.get(MAC)).toMatchObject({ epoch: 1, model: B });
  });

  it("[H9] [F6] with the highest epoch that it may bring is ordered above it, and may say so when it is back", () => {
    const scene = serving();
    const highest = 2 ** 48 - 2 ** 32;
    expect(scene.register(B, { assignment: { model_id: B, epoch: epoch(highest) } })).toMatchObject({
      admitted: true,
    });
    expect(scene.core.intents.get(MAC)).toMatchObject({ epoch: highest + 1, model: B });
    const held = { model_id: B, epoch: epoch(highest + 1) };
    expect(scene.register(B, { assignment: held })).toMatchObject({ admitted: true });
    expect(scene.core.orders.release(MAC, "by hand", scene.now)).toBeNull();
    expect(scene.core.intents.epochOf(MAC)).toBe(highest + 2);
  });

  it("[H22] of another key, owner, token or of a quarantined machine is refused", () => {
    const scene = serving();
    expect(scene.register(B, { public_key: "other" })).toEqual({ admitted: false, close: "foreignKey" });
    expect(scene.dial(B, "thief")).toMatchObject({ ok: false, error: { code: "machine_not_allowed" } });
    scene.core.quarantine(MAC, scene.now);
    expect(scene.register(B)).toEqual({ admitted: false, close: "notAllowed" });
    scene.core.readmit(MAC);
    expect(scene.register(B)).toMatchObject({ admitted: true });
    scene.revoked.add("t");
    expect(scene.register(B)).toEqual({ admitted: false, close: "notAllowed" });
  });

  it("of a version that may not serve at all is closed", () => {
    const scene = serving();
    scene.core.flagBook.set("min_provider_version", "0.9.0");
    expect(scene.register(B)).toEqual({ admitted: false, close: "tooOld" });
    for (const version of ["0.9.0", "0.10.0"]) {
      expect(scene.register(B, { version })).toMatchObject({ admitted: true });
    }
  });
});

function assigned(at: number) {
  return { mode: "assigned", epoch: at, since: 0, progress: 0, error: null } as const;
}
