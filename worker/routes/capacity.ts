import { Hono } from "hono";

import { allowCaching, readCapacity } from "../capacity.ts";
import type { AppEnv } from "../context.ts";

/** `GET /v1/models/capacity`, for everybody, so that a client or an aggregator knows before it asks. */
export const capacity = new Hono<AppEnv>().get("/", async (context) => {
  const { at, models } = await readCapacity(context.env);
  allowCaching(context);
  return context.json({ object: "list", at, data: models });
});
