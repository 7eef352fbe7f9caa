import { describe, expect, it, vi } from "vitest";

import { Cooldowns } from "../../../../core/fleet/cooldowns.ts";
import type { FleetStore } from "../../../../core/fleet/machine.ts";
import { A, B, C, FleetScene, MAC } from "./fleet-scene.ts";

/** A disk that refuses a write, as when the rows of a day are used up: what is not on it does not count, and the next try does. */

type Write = Extract<keyof FleetStore, `save${string}` | `remove${string}`>;

const FULL = new Error("the disk is full");

/** Lets the next write of this kind fail. */
function refuse({ store, plans }: FleetScene, write: Write | "saveFlag" | "addPoolInDemand"): void {
  const spy = write === "addPoolInDemand" ? vi.spyOn(plans, write) : vi.spyOn(store, write);
  spy.mockImplementationOnce(() => {
    throw FULL;
  });
}

function joined(): FleetScene {
  const scene = new FleetScene();
  scene.join(A, B);
  scene.calls();
  return scene;
}

describe("a write that the disk refuses", () => {
  it("[H17] of a flag leaves the value in force that was", () => {
    const scene = joined();
    const { flagBook } = scene.core;
    const before = [flagBook.view("placement"), flagBook.flags, flagBook.version];
    refuse(scene, "saveFlag");
    expect(() => flagBook.set("placement", "shadow")).toThrow(FULL);
    expect([flagBook.view("placement"), flagBook.flags, flagBook.version]).toEqual(before);
    expect(flagBook.set("placement", "shadow")).toBeNull();
    expect(flagBook.flags.placement).toBe("shadow");
  });

  it("[H3] of an order is no order", () => {
    const scene = joined();
    refuse(scene, "saveIntent");
    expect(() => scene.core.orders.pin(MAC, B, scene.now)).toThrow(FULL);
    expect(scene.core.intents.get(MAC)).toBeNull();
    scene.core.retry(scene.now + 60_000);
    expect(scene.callNames()).toEqual([]);
    expect(scene.core.orders.pin(MAC, B, scene.now)).toMatchObject({ ok: true, epoch: 1 });
  });

  it("[H22] of a quarantine shuts nobody out", () => {
    const scene = joined();
    refuse(scene, "saveMachine");
    expect(() => scene.core.quarantine(MAC, scene.now)).toThrow(FULL);
    expect(scene.dial(A)).toMatchObject({ ok: true });
    expect(scene.core.quarantine(MAC, scene.now)).toBeNull();
    expect(scene.dial(A)).toMatchObject({ ok: false });
  });

  it("[H1] of a dial makes no membership, and of its end leaves it", () => {
    const scene = joined();
    const { memberships } = scene.core;
    refuse(scene, "saveMembership");
    expect(() => scene.dial(C)).toThrow(FULL);
    expect(memberships.of(MAC)).toEqual([A, B]);
    refuse(scene, "removeMembership");
    expect(() => memberships.remove(MAC, B)).toThrow(FULL);
    expect(memberships.of(MAC)).toEqual([A, B]);
  });

  it("[F8] of a pool's demand is made good when the pool tells of more", () => {
    const scene = joined();
    const tell = (): void => scene.core.told(C, { kind: "demand" }, scene.now);
    refuse(scene, "addPoolInDemand");
    expect(tell).toThrow(FULL);
    tell();
    scene.restart();
    expect([...scene.core.placement.poolsInDemand()]).toEqual([C]);
  });

  it("[H17] of what a pool has confirmed leaves the pool to be told again", () => {
    const scene = joined();
    const settings = scene.core.settingsFor(A, scene.now);
    const confirm = (): void =>
      scene.core.replied(A, { kind: "settings", settings }, { kind: "told", reached: true }, scene.now);
    refuse(scene, "saveConfigured");
    expect(confirm).toThrow(FULL);
    confirm();
    scene.restart();
    scene.core.configurePools(scene.now);
    expect(scene.callNames()).not.toContain("settings a");
  });

  it("of a deleted machine leaves it in the directory", () => {
    const scene = joined();
    const { directory } = scene.core;
    refuse(scene, "removeMachine");
    expect(() => directory.remove(MAC)).toThrow(FULL);
    expect([directory.get(MAC)?.machineId, directory.countOf("o")]).toEqual([MAC, 1]);
  });

  it("of a cooldown is none, and of its end leaves it", () => {
    const scene = joined();
    const cooldowns = new Cooldowns(scene.store);
    const cooldown = { machineId: MAC, model: A, until: 5 };
    refuse(scene, "saveCooldown");
    expect(() => cooldowns.save(cooldown)).toThrow(FULL);
    expect(cooldowns.all()).toEqual([]);
    cooldowns.save(cooldown);
    refuse(scene, "removeCooldown");
    expect(() => cooldowns.remove(cooldown)).toThrow(FULL);
    expect(cooldowns.all()).toEqual([cooldown]);
  });

  it("[C19] [H13] between a failure and its cooldown leaves neither out: the machine gets its model again", () => {
    const scene = joined();
    scene.core.orders.pin(MAC, B, scene.now);
    scene.confirmAll();
    const fail = (): void => scene.observe(B, "failed", 1, { code: "load_failed", message: "no" });
    refuse(scene, "saveCooldown");
    expect(fail).toThrow(FULL);
    scene.restart();
    fail();
    expect(scene.core.intents.get(MAC)).toMatchObject({ outcome: "failed" });
    scene.now += 120_000;
    refuse(scene, "saveIntent");
    expect(() => scene.core.retry(scene.now)).toThrow(FULL);
    scene.core.retry(scene.now);
    expect(scene.core.intents.get(MAC)).toMatchObject({ epoch: 2, model: B, outcome: null });
  });
});
