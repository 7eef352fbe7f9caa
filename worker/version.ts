import { flagProblem } from "../core/flags.ts";
import type { Env } from "../durable-objects/env.ts";
import rootPackage from "../package.json" with { type: "json" };

export interface ProviderVersions {
  /** The provider version that belongs to this coordinator. */
  readonly current: string;
  /** The lowest that it still accepts; null for any. */
  readonly minimum: string | null;
}

/** Read from KV, where the fleet shows its flags: everybody may ask, so nobody may wake the fleet by asking. */
export async function providerVersions(env: Env): Promise<ProviderVersions> {
  const text = (await env.FLAGS.get("min_provider_version")) ?? "none";
  const isVersion = text !== "none" && flagProblem("min_provider_version", text) === null;
  return { current: rootPackage.version, minimum: isVersion ? text : null };
}
