import type { Env } from "../durable-objects/env.ts";
import { fleetStub } from "../durable-objects/fleet-stub.ts";
import { Fleet } from "../durable-objects/fleet.ts";
import { KeyLimits } from "../durable-objects/key-limits.ts";
import { ModelPool } from "../durable-objects/model-pool.ts";
import { app } from "./app.ts";

export { Fleet, KeyLimits, ModelPool };

export default {
  fetch: app.fetch,
  scheduled: (_controller, env) => fleetStub(env).ensureAlarm(),
} satisfies ExportedHandler<Env>;
