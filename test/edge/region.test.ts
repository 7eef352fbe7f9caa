import { afterEach, expect, it, vi } from "vitest";

import type { Env } from "../../durable-objects/env.ts";
import { fleetStub } from "../../durable-objects/fleet-stub.ts";
import { poolStub } from "../../durable-objects/pool-stub.ts";
import { callPool } from "../../worker/pool-client.ts";
import { CALL } from "./edge-calls.ts";
import { testEnv } from "./scene.ts";

/** Locally there is one place only, so this looks at what the platform is asked for. */

const named = (binding: "FLEET" | "MODEL_POOL") =>
  vi.spyOn(Object.getPrototypeOf(testEnv[binding]) as Env["FLEET"], "getByName");

function inRegion(region: string): Env {
  const { MODEL_POOL, FLEET } = testEnv;
  return { ...testEnv, MODEL_POOL, FLEET, REGION: region };
}

afterEach(() => {
  vi.restoreAllMocks();
});

it("Fleet and the pools are asked for where the operator wants them, by whoever asks first", async () => {
  const byName = named("FLEET");
  const byId = vi.spyOn(Object.getPrototypeOf(testEnv.MODEL_POOL) as Env["MODEL_POOL"], "get");
  const env = inRegion("weur");
  fleetStub(env);
  poolStub(env, "a-model");
  await (await callPool(env, CALL.model, CALL, "{}")).text();
  expect(byName.mock.calls).toEqual([
    ["fleet", { locationHint: "weur" }],
    ["a-model", { locationHint: "weur" }],
  ]);
  expect(byId.mock.calls.map(([, options]) => options)).toEqual([{ locationHint: "weur" }]);
});

it("a region that nobody knows is told once, and stops nothing", () => {
  const failed = vi.spyOn(console, "error").mockImplementation(() => undefined);
  const byName = named("FLEET");
  for (let calls = 0; calls < 2; calls++) fleetStub(inRegion("europe"));
  expect(byName.mock.calls).toEqual([
    ["fleet", {}],
    ["fleet", {}],
  ]);
  expect(failed.mock.calls).toEqual([
    [expect.objectContaining({ event: "region_unknown", region: "europe" })],
  ]);
});
