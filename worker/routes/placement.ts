import { Hono } from "hono";

import { simulationSchema } from "../../core/fleet/placement-report.ts";
import { fleetStub } from "../../durable-objects/fleet-stub.ts";
import { readJsonBody } from "../body.ts";
import { readCatalog } from "../catalog.ts";
import type { AppEnv } from "../context.ts";
import { HttpError } from "../http-error.ts";
import { validate } from "../openai/validate.ts";

/** `/v1/admin/placement`: the newest plan with its reasons, and what it would be under other circumstances. */
export const placement = new Hono<AppEnv>()
  .get("/", async (context) => context.json(await fleetStub(context.env).placement()))
  .post("/simulate", async (context) => {
    const asked = validate(simulationSchema, (await readJsonBody(context.req.raw, {})).json);
    const catalog = await readCatalog(context.env);
    for (const model of [...Object.keys(asked.demand), ...Object.keys(asked.models)]) {
      if (catalog.find(model)?.id === model) continue;
      const message = `the model "${model}" is not in the catalog`;
      throw new HttpError({ code: "model_not_found", message, param: model });
    }
    const planned = await fleetStub(context.env).simulatePlacement(asked);
    if (planned !== null) return context.json(planned);
    throw new HttpError({ code: "try_again", message: "the fleet has no catalog yet", retryAfterS: 1 });
  });
