import type { Context } from "hono";

import type { Difference } from "../core/audit.ts";
import type { Env } from "../durable-objects/env.ts";
import type { KeyRecord, Scope } from "./key-records.ts";

/** What middleware adds to a request. */
export interface Variables {
  /** Unique id of this request inside the coordinator. */
  requestId: string;
  /** Echoed as `x-request-id`: the client's own id if it is valid, else ours. */
  echoedId: string;
  /** The caller's key; set by `requireApiKey`. */
  key: KeyRecord;
  /** Which operator calls; set by `requireAdmin`. */
  operator: Operator;
  /** What a route has changed, for the log of changes. */
  difference?: Difference;
}

/** Who has shown a token of the operators' API. */
export interface Operator {
  /** Null for the admin token of the Worker's secrets. */
  readonly tokenId: string | null;
  readonly name: string;
  readonly scope: Scope;
}

export type AppEnv = { Bindings: Env; Variables: Variables };
export type AppContext = Context<AppEnv>;
