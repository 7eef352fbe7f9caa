import { z } from "zod";

import { EngineError } from "../../engine.ts";
import { type Endpoint, get, post, rootOf } from "./endpoint.ts";
import type { ServerDialect } from "./server-dialect.ts";
import { waitUntil } from "./wait-until.ts";

/** Ollama: an empty prompt loads a model, or lets go of it, by how long it says to keep it. */

const runningSchema = z.object({
  models: z.array(z.object({ name: z.string(), context_length: z.int().min(1).optional().catch(undefined) })),
});

const FOR_EVER = -1;
const NOT_AT_ALL = 0;
const POLL_MS = 200;
/** For letting go of a model. */
const UNLOAD_LIMIT_MS = 30_000;

export const ollama: ServerDialect = {
  async isSpokenBy(endpoint, signal) {
    return (await readRunning(endpoint, signal)) !== null;
  },

  async load(endpoint, { name, contextTokens }, signal) {
    for (const other of await running(endpoint, signal)) {
      if (!isSame(other.name, name)) await letGo(endpoint, other.name, signal);
    }
    await keepFor(endpoint, name, FOR_EVER, signal).catch((error: unknown) => {
      throw error instanceof EngineError && error.code === "model_missing" ? notThere(name) : error;
    });
    const loaded = (await running(endpoint, signal)).find((one) => isSame(one.name, name));
    const context = loaded?.context_length ?? null;
    if (context !== null && contextTokens !== null && context < contextTokens) {
      await letGo(endpoint, name, signal);
      throw new EngineError(
        "fault",
        "load_failed",
        `Ollama gives ${name} ${context} tokens and would cut longer prompts without a word: ` +
          `start it with OLLAMA_CONTEXT_LENGTH=${contextTokens}, or this program with --context ${context}`,
      );
    }
    return { name, contextTokens: context };
  },

  keep: (endpoint, name, signal) => keepFor(endpoint, name, FOR_EVER, signal),

  unload: (endpoint, name) => letGo(endpoint, name, AbortSignal.timeout(UNLOAD_LIMIT_MS)),
};

function notThere(name: string): EngineError {
  return new EngineError("fault", "load_failed", `Ollama has no model ${name}: run ollama pull ${name}`);
}

async function letGo(endpoint: Endpoint, name: string, signal: AbortSignal): Promise<void> {
  await keepFor(endpoint, name, NOT_AT_ALL, signal);
  await waitUntil(
    async () => !(await running(endpoint, signal)).some((one) => isSame(one.name, name)),
    POLL_MS,
    signal,
  );
}

/** @param seconds -1 for ever, 0 not at all. */
async function keepFor(
  endpoint: Endpoint,
  model: string,
  seconds: number,
  signal: AbortSignal,
): Promise<void> {
  const request = { model, keep_alive: seconds };
  try {
    await say(endpoint, "/api/generate", request, signal);
  } catch (error) {
    // Models that only make vectors generate nothing.
    if (!(error instanceof EngineError) || error.class !== "client") throw error;
    await say(endpoint, "/api/embed", { ...request, input: [] }, signal);
  }
}

async function say(endpoint: Endpoint, path: string, body: object, signal: AbortSignal): Promise<void> {
  const response = await post(rootOf(endpoint), path, { ...body, stream: false }, signal);
  await response.body?.cancel();
}

type Running = z.infer<typeof runningSchema>["models"];

async function running(endpoint: Endpoint, signal: AbortSignal): Promise<Running> {
  const models = await readRunning(endpoint, signal);
  if (models !== null) return models;
  throw new EngineError("fault", "server_failed", "Ollama does not say which models it holds");
}

/** Null if it is not Ollama. */
async function readRunning(endpoint: Endpoint, signal: AbortSignal): Promise<Running | null> {
  const response = await get(rootOf(endpoint), "/api/ps", signal);
  const json: unknown = await response.json().catch(() => null);
  const parsed = runningSchema.safeParse(json);
  return response.ok && parsed.success ? parsed.data.models : null;
}

/** A name without a tag means the latest. */
function isSame(one: string, other: string): boolean {
  return withTag(one) === withTag(other);
}

function withTag(name: string): string {
  return /:[^/]*$/.test(name) ? name : `${name}:latest`;
}
