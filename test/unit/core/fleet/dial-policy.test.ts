import { describe, expect, it } from "vitest";

import type { DialVerdict } from "../../../../core/fleet/admissions.ts";
import { machineIdSchema } from "../../../../protocol/ids.ts";
import { A, B, FleetScene } from "./fleet-scene.ts";

const dial = ({ core, now }: FleetScene, machine: number, owner: string, pool = A): DialVerdict =>
  core.dial({ machineId: machineIdSchema.parse(`mac-${machine}`), owner, tokenId: "t" }, pool, now);

describe("machines that have never registered", () => {
  it("dial 3,000 times a minute at most, all of one owner's together", () => {
    const scene = new FleetScene();
    scene.register();
    for (let i = 2; i <= 3001; i++) expect(dial(scene, i, "o", i % 2 === 0 ? A : B).ok).toBe(true);
    scene.now += 15_000;
    expect(dial(scene, 3002, "o")).toMatchObject({
      ok: false,
      error: { code: "slow_down", retryAfterS: 45 },
    });
    expect(scene.core.memberships.of(machineIdSchema.parse("mac-3002"))).toEqual([]);
    expect(dial(scene, 1, "o").ok).toBe(true);
    expect(dial(scene, 3002, "another").ok).toBe(true);
    scene.now += 45_000;
    expect(dial(scene, 3002, "o").ok).toBe(true);
  });
});

it("of one owner's machines 10,000 are known, and the next when one of them is deleted", () => {
  const scene = new FleetScene();
  for (let i = 1; i <= 10_000; i++) scene.register(A, {}, machineIdSchema.parse(`mac-${i}`));
  expect(scene.register(A, {}, machineIdSchema.parse("mac-10001"))).toEqual({
    admitted: false,
    close: "notAllowed",
  });
  expect(dial(scene, 10_001, "o")).toMatchObject({ ok: false, error: { code: "machine_not_allowed" } });
  expect(dial(scene, 10_000, "o").ok).toBe(true);
  expect(dial(scene, 10_001, "another").ok).toBe(true);
  scene.restart();
  expect(dial(scene, 10_001, "o").ok).toBe(false);
  scene.core.directory.remove(machineIdSchema.parse("mac-7"));
  expect(dial(scene, 10_001, "o").ok).toBe(true);
});
