import type { Env } from "./env.ts";
import type { Fleet } from "./fleet.ts";
import { regionOf } from "./region.ts";

/** The one control-plane object. */
export function fleetStub(env: Env): DurableObjectStub<Fleet> {
  return env.FLEET.getByName("fleet", regionOf(env));
}
