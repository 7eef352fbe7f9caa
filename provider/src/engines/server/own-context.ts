import { z } from "zod";

import { type Endpoint, get, rootOf } from "./endpoint.ts";

/** What fits into a request by a server's own word. OpenAI's API has none for it, so each server has put it elsewhere. */

/** llama-server: of one slot. */
const propsSchema = z.object({ default_generation_settings: z.object({ n_ctx: z.int().min(1) }) });

/** vLLM and SGLang. */
const modelsSchema = z.object({
  data: z.array(z.object({ id: z.string(), max_model_len: z.int().min(1).optional().catch(undefined) })),
});

/** One that takes a connection may yet answer nothing. */
const ANSWER_LIMIT_MS = 5000;

/**
 * In tokens; null if the server does not say.
 * @param name what the server calls the model.
 * @throws the signal's reason
 */
export async function ownContext(
  endpoint: Endpoint,
  name: string,
  signal: AbortSignal,
): Promise<number | null> {
  const props = propsSchema.safeParse(await readJson(rootOf(endpoint), "/props", signal));
  if (props.success) return props.data.default_generation_settings.n_ctx;
  const models = modelsSchema.safeParse(await readJson(endpoint, "/models", signal));
  if (!models.success) return null;
  return models.data.data.find(({ id }) => id === name)?.max_model_len ?? null;
}

/** Null for whatever is no JSON. @throws the signal's reason */
async function readJson(endpoint: Endpoint, path: string, signal: AbortSignal): Promise<unknown> {
  const limit = AbortSignal.any([signal, AbortSignal.timeout(ANSWER_LIMIT_MS)]);
  try {
    const response = await get(endpoint, path, limit);
    return await response.json();
  } catch {
    signal.throwIfAborted();
    return null;
  }
}
