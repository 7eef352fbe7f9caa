import { randomBytes } from "node:crypto";
import { rmSync } from "node:fs";
import { join } from "node:path";

import { z } from "zod";

import { AdminClient } from "./admin-client.ts";
import { parseJson, readIfPresent, writePrivately } from "./state-files.ts";
import { UserError } from "./user-error.ts";

/**
 * The secrets of the local coordinator. They are kept in `local.json` of the state folder (mode 0600), so that a
 * key that worked yesterday works today, and shown to scripts in `dev.json` while the coordinator runs.
 */

const secretsSchema = z.object({
  admin_token: z.string().min(1),
  api_key: z.string(),
  provider_token: z.string(),
});

export type LocalSecrets = z.infer<typeof secretsSchema>;

/** Owner of the local key, token and machines. */
const OWNER = "local";

/** The admin token of this state folder, made at the first start. */
export function openLocalSecrets(stateDir: string): LocalSecrets {
  const path = join(stateDir, "local.json");
  const known = readSecrets(path);
  if (known !== null) return known;
  const fresh = { admin_token: randomBytes(24).toString("hex"), api_key: "", provider_token: "" };
  writePrivately(path, fresh);
  return fresh;
}

/** Makes a key and a provider token if the coordinator does not know those of the last run. */
export async function ensureKeys(
  url: string,
  stateDir: string,
  secrets: LocalSecrets,
): Promise<LocalSecrets> {
  const probe = await fetch(`${url}/v1/models`, { headers: { authorization: `Bearer ${secrets.api_key}` } });
  if (probe.ok) return secrets;
  const admin = new AdminClient(url, secrets.admin_token);
  const fresh = {
    admin_token: secrets.admin_token,
    api_key: await admin.createKey(OWNER, "npm start"),
    provider_token: await admin.createProviderToken(OWNER, "npm start"),
  };
  writePrivately(join(stateDir, "local.json"), fresh);
  return fresh;
}

/** Writes `dev.json` for scripts: `{base_url, api_key, admin_token, provider_token}`. Returns how to remove it. */
export function publishDevFile(stateDir: string, url: string, secrets: LocalSecrets): () => void {
  const path = join(stateDir, "dev.json");
  writePrivately(path, { base_url: `${url}/v1`, ...secrets });
  return () => rmSync(path, { force: true });
}

function readSecrets(path: string): LocalSecrets | null {
  const text = readIfPresent(path);
  if (text === null) return null;
  const parsed = secretsSchema.safeParse(parseJson(text));
  if (parsed.success) return parsed.data;
  throw new UserError(`${path} is damaged. Delete it to get a new admin token and new keys.`);
}
