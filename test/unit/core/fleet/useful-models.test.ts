import { describe, expect, it } from "vitest";

import { usefulModels } from "../../../../core/fleet/useful-models.ts";
import { machineIdSchema } from "../../../../protocol/ids.ts";
import { A, B, PlacementScene } from "./placement-scene.ts";

/** Which models would be useful on a machine of the scene, as of its last tick. */
function usefulOn(scene: PlacementScene, machineId = "mac-1") {
  const { directory, placement, flagBook } = scene.core;
  const machine = directory.get(machineIdSchema.parse(machineId));
  const { catalog } = directory;
  if (machine === null || catalog === null) throw new Error("there is no such machine, or no catalog");
  return usefulModels(scene.core.view(scene.now), machine, catalog, flagBook.flags, placement.knownDemand);
}

/** Two machines that hold `a`, where only `b` is asked for, more than both could serve of it. */
function busyB(fields: object = {}, entries: Record<string, object> = {}): PlacementScene {
  const scene = new PlacementScene({ placement: "shadow" }, entries);
  scene.join("mac-1", A, fields);
  scene.join("mac-2", A, fields);
  scene.tick();
  for (let i = 0; i < 10; i++) {
    scene.ask(B, 300);
    scene.tick();
  }
  return scene;
}

const ONLY_A = { models: [{ id: A, size_bytes: 1, decode_tps: 50, prefill_tps: 1000 }] };

describe("which model would be most useful on a machine", () => {
  it("is the one of which the fleet would serve most requests more, and an operator can assign what is here", () => {
    const { models, advice } = usefulOn(busyB());
    expect(models.map(({ model_id, on_disk, holds }) => [model_id, on_disk, holds])).toEqual([
      [B, true, false],
      [A, true, true],
    ]);
    const [best, present] = models.map(({ requests_per_hour }) => requests_per_hour ?? 0);
    // As many as it could serve: two slots, and more is asked for than all could.
    expect(best).toBeGreaterThan(900);
    expect(best).toBeLessThan(1_000);
    expect(present).toBe(0);
    expect(advice).toBe(
      `about ${Math.round(best ?? 0)} more requests an hour could be served with "b" on this machine, ` +
        "which is on its disk: an operator can assign it, or start the provider with it as the first --model",
    );
  });

  it("does not advise an assigned machine to be started with another model, which its order would override", () => {
    const scene = busyB();
    const mac = machineIdSchema.parse("mac-1");
    scene.core.orders.pin(mac, A, scene.now);
    expect(usefulOn(scene).advice).toMatch(/which is on its disk: an operator can assign it$/);
    scene.core.orders.release(mac, "released by an operator", scene.now);
    expect(usefulOn(scene).advice).toMatch(/or start the provider with it as the first --model$/);
  });

  it("goes by where machines are, and not by where a plan that is only shown would have them", () => {
    const scene = new PlacementScene({ placement: "shadow" });
    scene.join("mac-1", A);
    scene.join("mac-2", A);
    scene.tick();
    for (let i = 0; i < 10; i++) {
      scene.ask(B, 2);
      scene.tick();
    }
    // One machine is enough for so few, and the plan has chosen the first.
    expect(scene.core.placement.last?.moves[0]).toMatchObject({ machineId: "mac-1", to: B, epoch: null });
    expect(usefulOn(scene, "mac-2").models[0]?.requests_per_hour).toBeGreaterThan(200);
  });

  it("counts models whose file is not here, and says how to get it", () => {
    const { models, advice } = usefulOn(busyB(ONLY_A));
    expect(models[0]).toMatchObject({ model_id: B, on_disk: false, obstacle: null });
    expect(models[0]?.requests_per_hour).toBeGreaterThan(100);
    expect(advice).toMatch(/start the provider with --model b=hf:ORG\/REPO\/file\.gguf as well$/);
  });

  it("is nothing that the machine could not hold, or would be too slow for", () => {
    const tooLarge = usefulOn(busyB(ONLY_A, { [B]: { min_ram_gb: 90_000 } }));
    expect(tooLarge.models.at(-1)).toEqual({
      model_id: B,
      on_disk: false,
      holds: false,
      requests_per_hour: null,
      obstacle: "it needs 90000 GB of memory",
    });
    expect(tooLarge.advice).toBeNull();
    const tooSlow = usefulOn(busyB({}, { [B]: { decode_floor_tps: 51 } }));
    expect(tooSlow.models.at(-1)?.obstacle).toBe("this machine would write fewer than 51 tokens/s of it");
  });

  it("is nothing that has as many machines as it may have", () => {
    const scene = busyB({}, { [B]: { cap: 0 } });
    expect(usefulOn(scene)).toMatchObject({
      models: [
        { model_id: A },
        { model_id: B, requests_per_hour: 0, obstacle: expect.stringContaining("as many machines") },
      ],
      advice: null,
    });
  });

  it("is what the machine holds, if that is worth most", () => {
    const scene = busyB();
    scene.join("mac-3", B);
    scene.tick();
    const { models, advice } = usefulOn(scene, "mac-3");
    expect(models[0]).toMatchObject({ model_id: B, holds: true });
    expect(models[0]?.requests_per_hour).toBeGreaterThan(900);
    expect(advice).toBeNull();
  });

  it.each(["offline", "reserved"] as const)(
    "counts nothing of what the machine holds as the fleet's while it is %s",
    (reason) => {
      const scene = new PlacementScene({ placement: "shadow" });
      scene.join("mac-1", A);
      scene.join("mac-2", A);
      scene.tick();
      scene.core.orders.pin(machineIdSchema.parse("mac-1"), A, scene.now);
      scene.tick();
      scene.report("mac-1", "assigned");
      scene.blocked.set("mac-1", reason);
      // One machine is enough for so few.
      for (let i = 0; i < 10; i++) {
        scene.ask(A, 2, 2);
        scene.tick();
      }
      const [present] = usefulOn(scene).models;
      expect(present).toMatchObject({ model_id: A, holds: true });
      expect(present?.requests_per_hour).toBeLessThan(10);
      // As the only one it serves them all.
      scene.blocked.set("mac-2", "offline");
      scene.ask(A, 2, 2);
      scene.tick();
      expect(usefulOn(scene).models[0]?.requests_per_hour).toBeGreaterThan(200);
    },
  );

  it("is not said of a machine that serves its owner only, nor before the first look at the demand", () => {
    expect(usefulOn(busyB({ private_only: true }))).toEqual({ models: [], advice: null });
    const scene = new PlacementScene();
    scene.join("mac-1", A);
    expect(usefulOn(scene)).toEqual({ models: [], advice: null });
  });
});
