import { poolName } from "../core/pool-name.ts";
import type { Env } from "./env.ts";
import type { ModelPool } from "./model-pool.ts";
import { regionOf } from "./region.ts";

export function poolStub(env: Env, modelId: string): DurableObjectStub<ModelPool> {
  return env.MODEL_POOL.getByName(poolName(modelId), regionOf(env));
}
