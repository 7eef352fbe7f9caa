import { describe, expect, it } from "vitest";

import type { Intent } from "../../../../core/fleet/machine.ts";
import type { PoolMachineReport } from "../../../../core/pool/report.ts";
import { machineIdSchema } from "../../../../protocol/ids.ts";
import { A, aMachineReport, B, C, epoch, FleetScene, MAC, type Made } from "./fleet-scene.ts";

/** Answers, reports and registers that come late, twice, or from a place where the machine does not belong. */

/** A machine of pools a and b that has just been pinned to b. */
function pinned(): FleetScene {
  const scene = new FleetScene();
  scene.join(A, B);
  scene.calls();
  scene.core.orders.pin(MAC, B, scene.now);
  return scene;
}

/** It has been ordered there, and nothing is heard of it yet. */
function ordered(): FleetScene {
  const scene = pinned();
  scene.confirmAll();
  return scene;
}

function serving(): FleetScene {
  const scene = ordered();
  scene.observe(B, "assigned", 1);
  scene.calls();
  return scene;
}

const intentOf = ({ core }: FleetScene) => core.intents.get(MAC);
const outcomesOf = ({ store }: FleetScene) => store.switches(9).map(({ outcome }) => outcome);
const holds = (scene: FleetScene, model_id: typeof A | null, at: number) =>
  scene.core.told(B, { kind: "holds", machineId: MAC, held: { model_id, epoch: epoch(at) } }, scene.now);

describe("a pool's answer", () => {
  it("[H4] to an order before this one does not count, though the pool has yet to let go", () => {
    const scene = pinned();
    const [older] = scene.calls();
    scene.core.orders.assign(MAC, C, "elsewhere", false, scene.now);
    scene.confirm(older as Made);
    expect(intentOf(scene)).toMatchObject({ epoch: 2, phase: "releasing", pending: [A, B] });
  });

  it("[H3] that comes twice calls nobody a second time", () => {
    const scene = pinned();
    scene.confirm(scene.calls()[0] as Made);
    const [expectCall] = scene.calls();
    for (let i = 0; i < 2; i++) scene.confirm(expectCall as Made);
    expect(scene.callNames().toSorted()).toEqual(["order a", "order b"]);
  });

  it("[H3] leaves those that have not answered to the next round", () => {
    const scene = new FleetScene();
    scene.join(A, B, C);
    scene.calls();
    scene.core.orders.pin(MAC, B, scene.now);
    const [first] = scene.calls();
    scene.confirm(first as Made);
    expect(scene.callNames()).toEqual([]);
    expect(intentOf(scene)).toMatchObject({ phase: "releasing", pending: [C] });
  });

  it("[H3] makes the wait for the next one short again", () => {
    const scene = pinned();
    const [release] = scene.calls();
    for (let i = 0; i < 6; i++) scene.core.retry((scene.now = Number(scene.core.nextWakeAt())));
    scene.calls();
    scene.confirm(release as Made);
    for (const waitMs of [1000, 2000]) {
      expect(scene.core.nextWakeAt()).toBe(scene.now + waitMs);
      scene.core.retry((scene.now += waitMs));
    }
  });

  it("[H6] that the order has reached a socket lets the others go only if it is the target's", () => {
    const scene = pinned();
    scene.confirm(scene.calls()[0] as Made);
    scene.confirm(scene.calls()[0] as Made);
    const orders = new Map(scene.calls().map((made) => [made.pool, made.call]));
    const answer = (pool: string, reached: boolean): string[] => {
      const call = orders.get(pool);
      if (call === undefined) throw new Error(`no order through ${pool}`);
      scene.core.replied(pool, call, { kind: "told", reached }, scene.now);
      return scene.callNames();
    };
    expect([answer(A, true), answer(B, false), answer(B, true)]).toEqual([[], [], ["dismiss a"]]);
  });
});

describe("a pool's report", () => {
  it("[H9] [D1] of an epoch above the fleet's raises it", () => {
    const scene = serving();
    scene.observe(B, "assigned", 9);
    expect(intentOf(scene)).toMatchObject({ epoch: 10, model: B, reason: "pinned", isPinned: true });
  });

  it("[H4] of an order before this one ends nothing", () => {
    const scene = serving();
    scene.core.orders.pin(MAC, A, scene.now);
    scene.core.orders.pin(MAC, B, scene.now);
    scene.confirmAll();
    for (const mode of ["assigned", "failed", "loading"] as const) scene.observe(B, mode, 1);
    expect(intentOf(scene)).toMatchObject({ epoch: 3, outcome: null, isHeard: false });
  });

  it("[C20] that comes twice is one line of history, and an order that follows does not end it again", () => {
    const scene = serving();
    scene.observe(B, "assigned", 1);
    scene.core.orders.pin(MAC, A, scene.now);
    expect(outcomesOf(scene)).toEqual(["succeeded"]);
  });
});

describe("what a machine says that it holds", () => {
  it("[H8] is not that it has obeyed, if it registers and holds nothing: it is told at once", () => {
    const scene = ordered();
    scene.core.retry((scene.now += 1000));
    scene.register(B);
    expect(intentOf(scene)).toMatchObject({ phase: "ordered", outcome: null, isHeard: false });
    expect(scene.core.nextWakeAt()).toBe(scene.now);
  });

  it("[H6] shows that it has heard of the order, and not that it has obeyed it", () => {
    const scene = ordered();
    holds(scene, B, 1);
    expect(intentOf(scene)).toMatchObject({ phase: "ordered", outcome: null, isHeard: true });
    expect(scene.core.nextWakeAt()).toBeNull();
    // Nor has one that registers.
    scene.register(B);
    expect(intentOf(scene)).toMatchObject({ phase: "ordered", outcome: null });
    expect(scene.core.nextWakeAt()).toBeNull();
  });

  it("ends its release once", () => {
    const scene = serving();
    scene.core.orders.release(MAC, "by hand", scene.now);
    scene.confirmAll();
    for (let i = 0; i < 2; i++) holds(scene, null, 2);
    expect(outcomesOf(scene)).toEqual(["succeeded", "succeeded"]);
  });
});

describe("a register", () => {
  const BEFORE = { model_id: A, epoch: epoch(0) };

  it("[H8] is not told of the order until the target expects the machine", () => {
    const scene = pinned();
    scene.confirm(scene.calls()[0] as Made);
    expect(intentOf(scene)?.phase).toBe("expecting");
    expect(scene.register(B, { assignment: BEFORE })).toMatchObject({ assignment: BEFORE });
    expect(scene.callNames().filter((name) => name.startsWith("dismiss"))).toEqual([]);
  });

  it("[H6] [H10] in another pool than its own gets the order, and is of no use there", () => {
    const scene = ordered();
    expect(scene.register(A)).toMatchObject({
      stamp: { mode: "released", epoch: 1 },
      pools: [B],
      assignment: { model_id: B, epoch: 1, drain_ms: 30_000, load_ms: 180_000 },
    });
    expect(scene.callNames().filter((name) => name.startsWith("dismiss"))).toEqual([]);
    expect(intentOf(scene)).toMatchObject({ phase: "ordered", pending: [] });
    expect(scene.register(B)).toMatchObject({ stamp: { mode: "managed", epoch: 1 } });
    expect(scene.callNames()).toEqual(["dismiss a"]);
  });

  it("[H14] [C16] of a version that knows no orders is told of none", () => {
    const scene = ordered();
    const assignment = { model_id: null, epoch: 0, drain_ms: 30_000, load_ms: 180_000 };
    for (let i = 0; i < 2; i++) {
      expect(scene.register(B, { version: "0.1.0" })).toMatchObject({ assignment });
      scene.confirmAll();
    }
    expect(intentOf(scene)).toMatchObject({ epoch: 2, model: null, phase: "done" });
  });

  it("[H14] of a process that has ended since changes nothing, and is not let in", () => {
    const scene = serving();
    const identity = { machineId: MAC, owner: "o", tokenId: "t", acceptedAt: scene.now - 1 };
    const of = (session_id: string) => {
      const machine = scene.core.directory.get(MAC);
      if (machine === null) throw new Error("it has registered");
      const register = {
        type: "register" as const,
        protocol: 1,
        version: "0.1.0",
        machine_id: MAC,
        session_id,
        backend: "fake",
        public_key: machine.publicKey,
        hardware: machine.hardware,
        models: [],
        loaded_models: [],
        max_concurrency: 2,
        assignment: null,
      };
      return scene.core.register({ identity, register, pool: B }, scene.now);
    };
    expect(of("ended")).toEqual({ admitted: false, close: "restart" });
    expect(intentOf(scene)).toMatchObject({ epoch: 1, model: B });
    expect(of("s")).toMatchObject({ admitted: true });
  });

  it("[H1] without a dial that the fleet knows of adds the pool to those that are asked to let go", () => {
    const scene = new FleetScene();
    scene.register(A);
    expect(scene.core.memberships.of(MAC)).toEqual([A]);
    scene.core.orders.pin(MAC, B, scene.now);
    expect(scene.core.memberships.of(MAC)).toEqual([A, B]);
    scene.register(C);
    expect(intentOf(scene)).toMatchObject({ pending: [A, C] });
  });

  it.each([
    [0, "tooOld"],
    [2, "badMessage"],
  ])("in protocol %i is closed with %s", (protocol, close) => {
    expect(new FleetScene().register(A, { protocol })).toEqual({ admitted: false, close });
  });
});

describe("a dial", () => {
  it("[H1] to another pool while its pools let go adds that one to them", () => {
    const scene = serving();
    scene.core.orders.release(MAC, "by hand", scene.now);
    const [first] = scene.calls();
    for (let i = 0; i < 2; i++) expect(scene.dial(C)).toMatchObject({ pool: C, stamp: { mode: "released" } });
    expect(intentOf(scene)).toMatchObject({ pending: [B, A, C] });
    scene.confirm(first as Made);
    expect(scene.callNames()).toEqual(["unmanage a", "unmanage c"]);
  });
});

describe("the fleet is woken", () => {
  it("for whichever machine's turn comes first", () => {
    const scene = pinned();
    const other = machineIdSchema.parse("mac-2");
    scene.register(A, {}, other);
    scene.now += 500;
    const intent = intentOf(scene);
    if (intent === null) throw new Error("it was pinned");
    for (const [retryAt, first] of [
      [scene.now + 9000, scene.now + 500],
      [scene.now + 100, scene.now + 100],
      [null, scene.now + 500],
    ] as const) {
      scene.core.intents.save({ ...intent, machineId: other, retryAt });
      expect(scene.core.nextWakeAt()).toBe(first);
    }
  });

  it("for the end of a cooldown if nothing else comes before it", () => {
    const scene = ordered();
    scene.observe(B, "failed", 1);
    const cooldownUntil = scene.now + 120_000;
    expect(scene.core.nextWakeAt()).toBe(cooldownUntil);
    scene.core.orders.pin(MAC, A, scene.now);
    expect(scene.core.nextWakeAt()).toBe(scene.now + 1000);
    const intent = intentOf(scene);
    if (intent === null) throw new Error("it was pinned");
    scene.core.intents.save({ ...intent, retryAt: cooldownUntil + 1 });
    expect(scene.core.nextWakeAt()).toBe(cooldownUntil);
  });

  it("by no machine that comes back to where it serves", () => {
    const scene = serving();
    scene.register(B);
    expect(scene.core.nextWakeAt()).toBeNull();
  });

  it("[H3] and calls nobody before it is time", () => {
    const scene = pinned();
    scene.calls();
    scene.core.retry(scene.now + 999);
    expect(scene.callNames()).toEqual([]);
  });
});

describe("an order", () => {
  it("[C18] to the model that it failed to load is a new one", () => {
    const scene = ordered();
    scene.observe(B, "failed", 1);
    expect(scene.core.orders.pin(MAC, B, scene.now)).toMatchObject({ epoch: 2 });
  });

  it("[H13] that has taken the place of one that failed is not given again when the cooldown ends", () => {
    const scene = ordered();
    scene.observe(B, "failed", 1);
    scene.core.orders.pin(MAC, B, scene.now);
    scene.confirmAll();
    scene.observe(B, "assigned", 2);
    scene.core.retry((scene.now += 121_000));
    expect(intentOf(scene)).toMatchObject({ epoch: 2, outcome: "succeeded" });
  });

  it("[C18] of a plan to where it is does not pin it there, and an operator's does", () => {
    const scene = serving();
    scene.core.intents.unpin(MAC);
    scene.core.orders.assign(MAC, B, "planned", false, scene.now);
    expect(intentOf(scene)).toMatchObject({ epoch: 1, isPinned: false });
    scene.core.orders.pin(MAC, B, scene.now);
    expect(intentOf(scene)).toMatchObject({ epoch: 1, isPinned: true });
  });

  it("of no machine changes when another model leaves the catalog", () => {
    const scene = serving();
    scene.core.orders.releaseFrom([A], scene.now);
    expect(intentOf(scene)).toMatchObject({ epoch: 1, model: B });
    scene.core.orders.releaseFrom([B], scene.now);
    expect(intentOf(scene)).toMatchObject({ epoch: 2, model: null });
  });

  it("[H13] [H19] comes to the target with its terms", () => {
    const scene = pinned();
    scene.confirm(scene.calls()[0] as Made);
    const terms = { drainMs: 30_000, loadMs: 180_000, publicKey: "k" };
    const [expectCall, ...others] = scene.calls();
    expect([expectCall, ...others]).toMatchObject([{ pool: B, call: { kind: "expect", terms } }]);
    scene.confirm(expectCall as Made);
    const order = { model_id: B, epoch: 1, pools: [B], drain_ms: 30_000, load_ms: 180_000 };
    expect(scene.calls()).toMatchObject([{ call: { order } }, { call: { order } }]);
  });

  it("[C20] that failed is in the history with the machine's words", () => {
    const scene = ordered();
    scene.observe(B, "failed", 1, { code: "load_failed", message: "no memory" });
    const line = { at: scene.now, machineId: MAC, from: null, outcome: "failed", error: "no memory" };
    expect(scene.store.switches(9)).toMatchObject([line]);
  });
});

it("[H22] a quarantined machine is released, and closed again at each tick", () => {
  const scene = serving();
  const expelled = () => scene.callNames().filter((name) => name.startsWith("expel"));
  scene.tick(30_000);
  expect(expelled()).toEqual([]);
  scene.core.quarantine(MAC, scene.now);
  expect(intentOf(scene)).toMatchObject({ model: null });
  expect(expelled()).toEqual(["expel a", "expel b"]);
  scene.tick(30_000);
  expect(expelled()).toEqual(["expel a", "expel b"]);
});

it("[H22] a machine that is still connected with a revoked token is closed at each look, however long ago that was", () => {
  const scene = serving();
  const revoked = (reports: Readonly<Record<string, readonly PoolMachineReport[]>>) => {
    scene.tick(3_600_000, reports);
    return scene.calls().filter(({ call }) => call.kind === "revoke");
  };
  const isHere = { a: [aMachineReport({ isConnected: false })], b: [aMachineReport()] };
  expect(revoked(isHere)).toEqual([]);
  scene.revoked.add("t");
  for (let i = 0; i < 2; i++) {
    expect(revoked(isHere)).toEqual([{ pool: B, call: { kind: "revoke", tokenId: "t" } }]);
  }
  scene.register(B, {}, MAC, "another");
  expect(revoked(isHere)).toEqual([]);
});

describe("an order that was read in words which nobody here knows", () => {
  const unread = { phase: "releasing", outcome: null, pending: [], holders: [], rounds: 0 } as const;

  function steppedBack(fields: Partial<Intent> = {}): FleetScene {
    const scene = serving();
    const [obeyed] = scene.store.intents();
    if (obeyed !== undefined) {
      scene.store.saveIntent({ ...obeyed, ...unread, retryAt: scene.now, ...fields });
    }
    scene.restart();
    return scene;
  }

  it("[D1] is done as soon as its pool shows that it was obeyed", () => {
    const scene = steppedBack();
    const record = { mode: "assigned", epoch: 1, since: 0, progress: 0, error: null } as const;
    scene.tick(1000, { [B]: [aMachineReport({ record })] });
    expect(intentOf(scene)).toMatchObject({ epoch: 1, phase: "done", outcome: "succeeded", model: B });
  });

  it("[H3] is given anew under the next epoch if no pool shows it, and keeps the machine pinned", () => {
    const scene = steppedBack();
    expect(scene.core.intents.destination(MAC).stamp).toEqual({ mode: "released", epoch: 1 });
    scene.core.retry(scene.now);
    expect(intentOf(scene)).toMatchObject({ epoch: 1, phase: "releasing" });
    scene.core.retry((scene.now = Number(scene.core.nextWakeAt())));
    expect(intentOf(scene)).toMatchObject({
      epoch: 2,
      model: B,
      isPinned: true,
      reason: "the order was not understood",
    });
    scene.confirmAll();
    expect(intentOf(scene)).toMatchObject({ epoch: 2, phase: "ordered" });
  });

  it("[H17] frees the machine nowhere, wherever it dials, before the pool that may have it has let go", () => {
    const scene = steppedBack({ model: null, from: B });
    scene.dial(A);
    expect(scene.core.intents.destination(MAC).stamp).toMatchObject({ mode: "released" });
    scene.core.retry(scene.now);
    expect(scene.callNames()).toEqual([]);
    scene.core.retry((scene.now = Number(scene.core.nextWakeAt())));
    expect(askedOf(scene)).toEqual(["release a", "unmanage b", "unmanage a"]);
  });

  /** The open order is read so, and given anew. */
  function stepBack(scene: FleetScene): void {
    const [open] = scene.store.intents();
    if (open !== undefined) scene.store.saveIntent({ ...open, ...unread, retryAt: scene.now });
    scene.restart();
    for (let i = 0; i < 2; i++) scene.core.retry((scene.now = Number(scene.core.nextWakeAt())));
  }

  /** It led from b to a, and had come nobody knows how far. Then it was given anew, after each step back. */
  function halfway(steps = 1): FleetScene {
    const scene = serving();
    scene.core.orders.pin(MAC, A, scene.now);
    for (let step = 1; step <= steps; step++) stepBack(scene);
    expect(intentOf(scene)).toMatchObject({ epoch: 2 + steps, model: A });
    return scene;
  }

  /** What pools are asked until the machine is, if each does it. */
  function askedOf(scene: FleetScene): string[] {
    const asked: string[] = [];
    const next = (): Made[] => scene.calls().filter(({ call }) => call.kind !== "order");
    for (let calls = next(); calls.length > 0; calls = next()) {
      for (const made of calls) {
        asked.push(`${made.call.kind} ${made.pool}`);
        // A reply that comes twice does not pass for one to the next question.
        for (let i = 0; i < 2; i++) scene.confirm(made);
      }
    }
    return asked;
  }

  it("[H1] [H3] is confirmed by the other pool that may have the machine, before its own is told to expect it", () => {
    const scene = halfway();
    expect(askedOf(scene)).toEqual(["release b", "expect a"]);
    expect(intentOf(scene)).toMatchObject({ epoch: 3, phase: "ordered" });
  });

  it.each([
    ["one step", 1],
    ["two steps", 2],
  ])("[H17] after %s back is released by one of two pools before the other is freed", (_name, steps) => {
    const scene = halfway(steps);
    scene.calls();
    scene.core.orders.release(MAC, "by hand", scene.now);
    expect(askedOf(scene)).toEqual(["release a", "unmanage b", "unmanage a"]);
    expect(intentOf(scene)).toMatchObject({ epoch: 3 + steps, model: null, phase: "ordered" });
  });

  it("[H17] is a release that frees the machine where it may be once the others have released it", () => {
    const scene = steppedBack({ model: null, from: B });
    for (let i = 0; i < 2; i++) scene.core.retry((scene.now = Number(scene.core.nextWakeAt())));
    expect(askedOf(scene)).toEqual(["release a", "unmanage b", "unmanage a"]);
  });

  it("[H1] [H17] is remembered by its pool, whatever was ordered before the next step back", () => {
    for (const model of [C, null]) {
      const scene = halfway();
      if (model === null) scene.core.orders.release(MAC, "by hand", scene.now);
      else scene.core.orders.assign(MAC, model, "elsewhere", false, scene.now);
      stepBack(scene);
      scene.calls();
      if (model !== null) scene.core.orders.release(MAC, "by hand", scene.now);
      else scene.core.retry((scene.now = Number(scene.core.nextWakeAt())));
      const asked = askedOf(scene);
      // It may be on record in a or in b.
      expect(asked.slice(0, asked.indexOf("unmanage b"))).toContain("release a");
      expect(asked.indexOf("unmanage b")).toBeLessThan(asked.indexOf("unmanage a"));
      expect(intentOf(scene)).toMatchObject({ model: null, phase: "ordered" });
    }
  });
});
