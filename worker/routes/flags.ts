import { Hono } from "hono";
import { z } from "zod";

import { flagNameSchema, FLAG_NAMES, type FlagName } from "../../core/flags.ts";
import type { FlagView } from "../../core/fleet/flag-book.ts";
import type { Env } from "../../durable-objects/env.ts";
import { fleetStub } from "../../durable-objects/fleet-stub.ts";
import { readJsonBody } from "../body.ts";
import type { AppEnv } from "../context.ts";
import { HttpError } from "../http-error.ts";
import { validate } from "../validate.ts";

/** `/v1/admin/flags`: what is in force, and how to change it. The fleet is the authority; KV shows the same. */

const newValueSchema = z.strictObject({
  value: z.string('must be text, also for a number: {"value":"30"}').max(10_000),
});

export const flags = new Hono<AppEnv>()
  .get("/", async (context) => context.json({ flags: await fleetStub(context.env).flags() }))
  .get("/:name", async (context) =>
    context.json(await viewFlag(context.env, flagName(context.req.param("name")))),
  )
  .put("/:name", async (context) => {
    const name = flagName(context.req.param("name"));
    const { value } = validate(newValueSchema, (await readJsonBody(context.req.raw)).json);
    const verdict = await fleetStub(context.env).setFlag(name, value);
    if (!verdict.ok) {
      throw new HttpError({ code: "invalid_request", param: "value", message: verdict.problem });
    }
    const { notReleased } = verdict;
    context.set("difference", verdict.difference);
    const view = await viewFlag(context.env, name);
    return context.json(notReleased.length === 0 ? view : { ...view, not_released: notReleased });
  });

function flagName(name: string): FlagName {
  const parsed = flagNameSchema.safeParse(name);
  if (parsed.success) return parsed.data;
  throw new HttpError({
    code: "not_found",
    message: `there is no flag "${name}"; there are ${FLAG_NAMES.join(", ")}`,
  });
}

async function viewFlag(env: Env, name: FlagName): Promise<FlagView> {
  const views = await fleetStub(env).flags();
  const view = views.find((candidate) => candidate.name === name);
  if (view === undefined) throw new Error(`the fleet does not know the flag ${name}`);
  return view;
}
