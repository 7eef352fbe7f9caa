import type { Fleet } from "./fleet.ts";
import type { KeyLimits } from "./key-limits.ts";
import type { ModelPool } from "./model-pool.ts";

/** The bindings of `wrangler.toml` and the Worker's secrets. */
export interface Env {
  readonly MODEL_POOL: DurableObjectNamespace<ModelPool>;
  readonly FLEET: DurableObjectNamespace<Fleet>;
  /** By the id of the API key; only keys with limits have one, and deleted ones for an hour. */
  readonly KEY_LIMITS: DurableObjectNamespace<KeyLimits>;
  /** Flags, one key each, and the catalog under the key `catalog`. */
  readonly FLAGS: KVNamespace;
  /** Hashed API keys (`key:<id>`), provider tokens (`token:<id>`) and admin tokens (`admin:<id>`). */
  readonly KEYS: KVNamespace;
  /** A point per request; not there in every environment. */
  readonly REQUEST_POINTS?: AnalyticsEngineDataset;
  readonly ADMIN_TOKEN: string;
  /** Where Fleet and the pools come into being, one of the platform's location hints; wherever they are first called if left out. */
  readonly REGION?: string;
}
