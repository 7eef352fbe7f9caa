import { describe, expect, it } from "vitest";

import { INITIAL_SETTINGS } from "../../../../core/pool/settings.ts";
import { PoolScene } from "./pool-scene.ts";

describe("[C3] [C4] [H23] a pool without a routable machine", () => {
  const exhausted = (supply: { have: number; couldHold: number; at: number }) => {
    const scene = new PoolScene();
    scene.join("mac-1", { private_only: true });
    const flags = { pool_exhausted_429: "on", queue_max: 32, queue_wait_ms: 6000 } as const;
    const settings = { version: 1, flags: { ...INITIAL_SETTINGS.flags, ...flags }, supply };
    scene.pool.configure(settings, scene.now);
    return scene;
  };

  it("is exhausted if some machine could hold the model", () => {
    const scene = exhausted({ have: 0, couldHold: 1, at: 1_000_000 });
    expect(scene.ask().refusedWith).toBe("pool_exhausted");
    expect(scene.outcomes()).toEqual({ pool_exhausted: 1 });
  });

  it("[C5] is unavailable only by a fresh word of the fleet", () => {
    expect(exhausted({ have: 0, couldHold: 0, at: 1_000_000 }).ask().refusedWith).toBe("model_unavailable");
    expect(exhausted({ have: 0, couldHold: 0, at: 600_000 }).ask().refusedWith).toBe("pool_exhausted");
  });

  it("says that trying again is of no use only where no machine of the fleet could hold the model", () => {
    const refusalOf = (couldHold: number) => exhausted({ have: 0, couldHold, at: 1_000_000 }).ask().refusal;
    expect(refusalOf(0)).toMatchObject({ code: "model_unavailable", isFinal: true });
    expect(refusalOf(1)?.isFinal).toBeUndefined();
    // While the flag is off nothing is said of the fleet's machines.
    expect(new PoolScene().ask().refusal?.isFinal).toBeUndefined();
  });

  it("asks the fleet once if it has never seen a machine, and the request waits for the answer", () => {
    const scene = new PoolScene();
    const flags = { pool_exhausted_429: "on", queue_max: 32, queue_wait_ms: 6000 } as const;
    const settings = { version: 1, flags: { ...INITIAL_SETTINGS.flags, ...flags } };
    scene.pool.configure({ ...settings, supply: { have: 0, couldHold: 0, at: 0 } }, scene.now);
    const [one, two] = [scene.ask(), scene.ask()];
    expect(scene.supplyQuestions).toBe(1);
    expect([one.refusedWith, two.refusedWith]).toEqual([null, null]);
    scene.pool.configure({ ...settings, supply: { have: 0, couldHold: 0, at: scene.now } }, scene.now);
    expect([one.refusedWith, two.refusedWith]).toEqual(["model_unavailable", "model_unavailable"]);
  });

  it("keeps no more waiting for that answer than may wait in line", () => {
    const scene = new PoolScene();
    const flags = { ...INITIAL_SETTINGS.flags, pool_exhausted_429: "on", queue_max: 2 } as const;
    scene.pool.configure({ version: 1, flags, supply: { have: 0, couldHold: 0, at: 0 } }, scene.now);
    const asked = Array.from({ length: 4 }, () => scene.ask().refusedWith);
    expect(asked).toEqual([null, null, "pool_exhausted", "pool_exhausted"]);
  });
});
