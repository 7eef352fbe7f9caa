import { describe, expect, it } from "vitest";

import { A, FleetScene } from "./fleet-scene.ts";

describe("[H23] the supply of a model", () => {
  it("counts machines that have it and those that could hold it, connected or not", () => {
    const scene = new FleetScene();
    const supplyOf = (pool: string) => scene.core.settingsFor(pool, scene.now).supply;
    scene.join(A);
    expect(supplyOf("a")).toMatchObject({ have: 1, couldHold: 1 });
    scene.register(A, { models: [{ id: A, size_bytes: 1 }] });
    expect(supplyOf("b")).toMatchObject({ have: 0, couldHold: 1 });
    expect(supplyOf("c")).toMatchObject({ have: 0, couldHold: 0 });
    scene.register(A, { models: [{ id: A, size_bytes: 1 }], private_only: true });
    expect(supplyOf("b")).toMatchObject({ have: 0, couldHold: 0 });
  });
});
