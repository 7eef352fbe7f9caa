import { z } from "zod";

import { EngineError } from "../../engine.ts";
import { type Endpoint, get, post, rootOf } from "./endpoint.ts";
import type { ServerDialect } from "./server-dialect.ts";

/** LM Studio from 0.4 on, by its own REST API: it holds instances of models, each with a name and a context of its own. */

const modelsSchema = z.object({
  models: z.array(
    z.object({
      key: z.string(),
      max_context_length: z.int().min(1).optional().catch(undefined),
      loaded_instances: z.array(
        z.object({
          id: z.string(),
          config: z.object({ context_length: z.int().min(1).optional().catch(undefined) }).optional(),
        }),
      ),
    }),
  ),
});

const loadedSchema = z.object({ instance_id: z.string() });

/** For letting go of a model. */
const UNLOAD_LIMIT_MS = 30_000;

export const lmStudio: ServerDialect = {
  async isSpokenBy(endpoint, signal) {
    return (await readModels(endpoint, signal)) !== null;
  },

  async load(endpoint, { name, contextTokens }, signal) {
    const models = (await readModels(endpoint, signal)) ?? [];
    const model = models.find(({ key }) => key === name);
    if (model === undefined) {
      throw new EngineError(
        "fault",
        "load_failed",
        `LM Studio has no model ${name}: lms ls shows their keys`,
      );
    }
    const context =
      contextTokens === null ? null : Math.min(contextTokens, model.max_context_length ?? contextTokens);
    const fitting = instancesOf([model]).find((instance) => instance.context >= (context ?? 0));
    for (const { id } of instancesOf(models)) if (id !== fitting?.id) await unload(endpoint, id, signal);
    if (fitting !== undefined) return { name: fitting.id, contextTokens: finite(fitting.context) };
    const wanted = { model: name, ...(context === null ? {} : { context_length: context }) };
    const response = await post(rootOf(endpoint), "/api/v1/models/load", wanted, signal);
    const loaded = loadedSchema.safeParse(await response.json().catch(() => null));
    if (!loaded.success) {
      throw new EngineError("fault", "load_failed", "LM Studio does not say what it has loaded");
    }
    const { instance_id: id } = loaded.data;
    if (context !== null) return { name: id, contextTokens: context };
    const given = instancesOf((await readModels(endpoint, signal)) ?? []).find(
      (instance) => instance.id === id,
    );
    return { name: id, contextTokens: finite(given?.context ?? Infinity) };
  },

  // It keeps what it was told to load.
  keep: async () => undefined,

  async unload(endpoint, name) {
    const signal = AbortSignal.timeout(UNLOAD_LIMIT_MS);
    for (const { id, key } of instancesOf((await readModels(endpoint, signal)) ?? [])) {
      if (id === name || key === name) await unload(endpoint, id, signal);
    }
  },
};

type Models = z.infer<typeof modelsSchema>["models"];

/** One that does not say what fits into it is taken as it is. */
function instancesOf(models: Models): readonly { id: string; key: string; context: number }[] {
  return models.flatMap(({ key, loaded_instances }) =>
    loaded_instances.map(({ id, config }) => ({ id, key, context: config?.context_length ?? Infinity })),
  );
}

function finite(context: number): number | null {
  return context === Infinity ? null : context;
}

async function unload(endpoint: Endpoint, instanceId: string, signal: AbortSignal): Promise<void> {
  const response = await post(rootOf(endpoint), "/api/v1/models/unload", { instance_id: instanceId }, signal);
  await response.body?.cancel();
}

/** Null if it is not LM Studio. */
async function readModels(endpoint: Endpoint, signal: AbortSignal): Promise<Models | null> {
  const response = await get(rootOf(endpoint), "/api/v1/models", signal);
  const json: unknown = await response.json().catch(() => null);
  const parsed = modelsSchema.safeParse(json);
  return response.ok && parsed.success ? parsed.data.models : null;
}
