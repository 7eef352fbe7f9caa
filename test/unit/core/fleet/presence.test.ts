import { describe, expect, it } from "vitest";

import { viewMachine } from "../../../../core/fleet/fleet-view.ts";
import { wentInOrderAt } from "../../../../core/fleet/presence.ts";
import { machineIdSchema } from "../../../../protocol/ids.ts";
import { aMachineReport, A, aReport, B, FleetScene, MAC } from "./fleet-scene.ts";
import { A as POOL, B as OTHER, PlacementScene } from "./placement-scene.ts";

const HERE = { a: [aMachineReport()] };
const GONE = { a: [aMachineReport({ isConnected: false, blockedBy: "offline" })] };

/** One regular look with all that follows from it. */
function look(scene: FleetScene, reports: Parameters<FleetScene["tick"]>[1], silent = ""): void {
  scene.now += 30_000;
  scene.core.tick(scene.now);
  for (const made of scene.calls()) {
    const { pool, call } = made;
    if (call.kind !== "read" || pool === silent) continue;
    const report = aReport(pool, reports?.[pool] ?? []);
    scene.core.replied(pool, call, { kind: "report", report, totals: null }, scene.now);
  }
  scene.core.place(scene.now);
}

function ageOf(scene: FleetScene): number | null {
  const view = scene.core.view(scene.now);
  const machine = scene.core.directory.get(MAC);
  if (machine === null) throw new Error("the machine has not registered");
  const { state, since } = viewMachine(view, machine);
  return state === "offline" ? scene.now - since : null;
}

describe("how long a machine has been offline", () => {
  it("counts from the look that found it gone, also for a later life of the fleet", () => {
    const scene = new FleetScene();
    scene.join(A);
    look(scene, HERE);
    expect(ageOf(scene)).toBeNull();
    look(scene, GONE);
    expect(ageOf(scene)).toBe(0);
    look(scene, GONE);
    scene.restart();
    look(scene, GONE);
    expect(ageOf(scene)).toBe(60_000);
  });

  it("begins anew when it has been back, whether it registered or not", () => {
    const scene = new FleetScene();
    scene.join(A);
    look(scene, GONE);
    look(scene, HERE);
    look(scene, GONE);
    expect(ageOf(scene)).toBe(0);
    look(scene, GONE);
    scene.register(A);
    look(scene, GONE);
    expect(ageOf(scene)).toBe(0);
  });

  it("is nothing as long as no look has found it gone: nobody knows", () => {
    const scene = new FleetScene();
    scene.join(A);
    scene.tick(30_000, GONE);
    expect(scene.core.directory.get(MAC)).toMatchObject({ goneAt: null });
    expect(ageOf(scene)).toBe(0);
  });

  it("does not begin because a pool does not answer", () => {
    const scene = new FleetScene();
    scene.join(A, B);
    look(scene, HERE);
    look(scene, GONE, "b");
    expect(scene.core.directory.get(MAC)).toMatchObject({ goneAt: null });
    look(scene, GONE);
    expect(scene.core.directory.get(MAC)).toMatchObject({ goneAt: scene.now });
  });
});

describe("machines that come back after all were disconnected", () => {
  const IDS = ["mac-1", "mac-2", "mac-3", "mac-4"];

  function four(): PlacementScene {
    const scene = new PlacementScene({ placement: "shadow" });
    for (const id of IDS) scene.join(id, POOL);
    scene.ask(POOL, 1, 1);
    scene.tick();
    return scene;
  }

  /** All sockets are closed, and these machines have dialed again by the time of the next tick. */
  function deploy(scene: PlacementScene, ...back: readonly string[]): void {
    for (const id of IDS) scene.blocked.set(id, "offline");
    scene.now += 29_000;
    for (const id of back) {
      scene.join(id, POOL);
      scene.blocked.delete(id);
    }
    scene.tick(1);
  }

  const haltOf = ({ core }: PlacementScene) => core.placement.history(1)[0]?.halted;
  const goneIn = ({ core }: PlacementScene) =>
    [...core.directory.all()].filter(({ goneAt }) => goneAt !== null);

  it.each([[["mac-1"]], [[]]])("do not stop the plans if it is seen that %j are back", (back) => {
    const scene = four();
    deploy(scene, ...back);
    expect(haltOf(scene)).toBe("reconnecting");
    expect(goneIn(scene)).toEqual([]);
    for (const id of IDS) scene.join(id, POOL);
    scene.blocked.clear();
    scene.tick();
    expect(scene.core.placement.last).toMatchObject({ at: scene.now, halted: null });
  });

  it("have gone if they are not back by the tick after that, and then nothing is moved", () => {
    const scene = four();
    deploy(scene, "mac-1");
    scene.tick();
    expect(haltOf(scene)).toBe("frozen");
    expect(goneIn(scene)).toHaveLength(3);
  });

  it("are not waited for if they have said that they stop, however many go at once", () => {
    const scene = four();
    for (const id of IDS) leave(scene, id);
    scene.tick();
    expect(haltOf(scene)).toBeNull();
    expect(goneIn(scene)).toHaveLength(4);
  });

  it("are missed at once if another has stayed all the time, since that is no deploy", () => {
    const scene = four();
    for (const id of IDS.slice(1)) scene.blocked.set(id, "offline");
    scene.tick();
    expect(haltOf(scene)).toBe("frozen");
    expect(goneIn(scene)).toHaveLength(3);
  });
});

/** The machine says that it stops, closes its sockets, and each of its pools tells so. */
function leave(scene: PlacementScene, machineId: string, sessionId = "s"): void {
  scene.blocked.set(machineId, "offline");
  const news = { kind: "left", machineId: machineIdSchema.parse(machineId), sessionId } as const;
  for (const pool of [POOL, OTHER]) scene.core.told(pool, news, scene.now);
}

describe("machines that stop in order", () => {
  function six(placement = "enforce"): PlacementScene {
    const scene = new PlacementScene({ min_dwell_seconds: "0", placement });
    for (const id of SIX) scene.join(id, POOL);
    scene.tick();
    scene.ask(OTHER, 20);
    return scene;
  }
  const SIX = ["mac-1", "mac-2", "mac-3", "mac-4", "mac-5", "mac-6"];
  const haltOf = ({ core }: PlacementScene) => core.placement.last?.halted;

  it("do not stop the planner, which moves others at once", () => {
    const scene = six();
    for (const id of SIX.slice(0, 4)) leave(scene, id);
    scene.tick();
    expect(haltOf(scene)).toBeNull();
    expect(scene.orders).not.toEqual([]);
  });

  it("do not hide that others have vanished", () => {
    const scene = six();
    leave(scene, "mac-1");
    for (const id of ["mac-2", "mac-3", "mac-4"]) scene.blocked.set(id, "offline");
    scene.tick();
    expect(haltOf(scene)).toBe("frozen");
    expect(scene.orders).toEqual([]);
  });

  it("count like any other once they have come back", () => {
    const scene = six("shadow");
    for (const id of SIX.slice(0, 3)) leave(scene, id);
    scene.tick(10);
    for (const id of SIX.slice(0, 3)) {
      scene.blocked.delete(id);
      scene.join(id, POOL);
    }
    scene.tick(10);
    expect(haltOf(scene)).toBeNull();
    for (const id of SIX.slice(0, 3)) scene.blocked.set(id, "offline");
    scene.tick(10);
    expect(haltOf(scene)).toBe("frozen");
  });

  it("have not stopped if a later look finds them here: one that rests closes a socket without stopping", () => {
    const scene = six("shadow");
    for (const id of SIX.slice(0, 3)) {
      leave(scene, id);
      scene.blocked.delete(id);
    }
    scene.tick(10);
    for (const id of SIX.slice(0, 3)) scene.blocked.set(id, "offline");
    scene.tick(10);
    expect(haltOf(scene)).toBe("frozen");
  });

  it("have stopped also if they were here when the pools were asked, and not by the time of the plan", () => {
    const scene = six("shadow");
    scene.tick(10, () => {
      for (const id of SIX.slice(0, 3)) leave(scene, id);
    });
    scene.tick(10);
    expect(haltOf(scene)).toBeNull();
  });

  it("are those of the process that said so: word of one that another has followed counts for nothing", () => {
    const scene = six("shadow");
    for (const id of SIX.slice(0, 3)) {
      scene.join(id, POOL, { session_id: "next" });
      leave(scene, id, "s");
    }
    scene.tick();
    expect(haltOf(scene)).toBe("frozen");
  });

  it("are known as such by a later life of the fleet, and by one whose look was late", () => {
    const scene = new FleetScene();
    scene.join(A);
    look(scene, HERE);
    scene.core.told("a", { kind: "left", machineId: MAC, sessionId: "s" }, scene.now);
    scene.restart();
    const at = scene.now + 30_000;
    look(scene, GONE);
    scene.restart();
    const machine = scene.core.directory.get(MAC);
    expect(machine).toMatchObject({ goneAt: at });
    expect(machine === null ? null : wentInOrderAt(machine, at + 1)).toBe(at);
  });
});
