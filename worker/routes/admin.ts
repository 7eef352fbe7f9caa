import { Hono } from "hono";

import { fleetStub } from "../../durable-objects/fleet-stub.ts";
import { audited } from "../audit.ts";
import { requireAdmin } from "../auth.ts";
import type { AppEnv } from "../context.ts";
import { adminTokens } from "./admin-tokens.ts";
import { catalog } from "./catalog.ts";
import { changes } from "./changes.ts";
import { counts } from "./counts.ts";
import { flags } from "./flags.ts";
import { keys } from "./keys.ts";
import { machines } from "./machines.ts";
import { knownParameters } from "./parameters.ts";
import { placement } from "./placement.ts";
import { providerTokens } from "./provider-tokens.ts";

/** The operators' API under `/v1/admin`. */
export const admin = new Hono<AppEnv>()
  .use(requireAdmin)
  .use(knownParameters)
  .use(audited)
  .route("/catalog", catalog)
  .route("/flags", flags)
  .route("/machines", machines)
  .route("/placement", placement)
  .route("/keys", keys)
  .route("/provider-tokens", providerTokens)
  .route("/admin-tokens", adminTokens)
  .route("/audit", changes)
  .get("/whoami", (context) => {
    const { tokenId, name, scope } = context.get("operator");
    return context.json({ token_id: tokenId, token_name: name, scope });
  })
  .route("/", counts)
  .get("/utilization", async (context) => context.json(await fleetStub(context.env).utilization()));
