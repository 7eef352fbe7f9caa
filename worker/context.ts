import type { Context } from "hono";

import type { Env } from "../durable-objects/env.ts";
import type { KeyRecord } from "./secrets.ts";

/** What middleware adds to a request. */
export interface Variables {
  /** Unique id of this request inside the coordinator. */
  requestId: string;
  /** Echoed as `x-request-id`: the client's own id if it is valid, else ours. */
  echoedId: string;
  /** The caller's key; set by `requireApiKey`. */
  key: KeyRecord;
}

export type AppEnv = { Bindings: Env; Variables: Variables };
export type AppContext = Context<AppEnv>;
