import { Hono } from "hono";

import { whyAboveCap, type Catalog } from "../../core/catalog.ts";
import { simulationSchema, type Simulation } from "../../core/fleet/simulation.ts";
import { fleetStub } from "../../durable-objects/fleet-stub.ts";
import type { ModelId } from "../../protocol/ids.ts";
import { readJsonBody } from "../body.ts";
import { readCatalog } from "../catalog.ts";
import type { AppEnv } from "../context.ts";
import { HttpError } from "../http-error.ts";
import { validate } from "../validate.ts";

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
    for (const [id, change] of Object.entries(asked.models)) refuseContradiction(id, change, catalog);
    const verdict = await fleetStub(context.env).simulatePlacement(asked);
    if (verdict.ok) return context.json(verdict.preview);
    throw new HttpError(verdict.error);
  });

/** What the body leaves out is as in the catalog. @throws HttpError 400 */
function refuseContradiction(
  id: string,
  { floor, cap }: Simulation["models"][ModelId],
  catalog: Catalog,
): void {
  const entry = catalog.find(id);
  if (entry === undefined || (floor === undefined && cap === undefined)) return;
  const problem = whyAboveCap(floor ?? entry.floor, cap === undefined ? entry.cap : cap);
  if (problem === null) return;
  const param = `models.${id}.${floor === undefined ? "cap" : "floor"}`;
  throw new HttpError({ code: "invalid_request", param, message: `${id}: the floor ${problem}` });
}
