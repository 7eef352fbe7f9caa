/** @import { Snapshot } from "./snapshot.js" */

/** What to type where the page has nothing to show yet, and with a secret that it shows once. */

/** @param {string} origin */
export function catalogCommand(origin) {
  return [
    `curl -X PUT ${origin}/v1/admin/catalog/gpt-oss-20b -H "Authorization: Bearer $ADMIN" \\`,
    `  -d '{"context_length":131072,"size_gb":12.1,"min_ram_gb":24}'`,
  ].join("\n");
}

/** @param {string} origin */
export function providerCommand(origin) {
  return [
    `curl -X POST ${origin}/v1/admin/provider-tokens -H "Authorization: Bearer $ADMIN" \\`,
    `  -d '{"owner":"acme","name":"office"}'`,
    "",
    `npx node provider/src/main.ts --coordinator ${origin} --token-file ~/.poolkeeper/token \\`,
    `  --model ${EXAMPLE}=hf:${EXAMPLE_FILE}`,
  ].join("\n");
}

/** Stands for a model while the catalog has none. */
const EXAMPLE = "gpt-oss-20b";

/** Where it can be had. */
export const EXAMPLE_FILE = "bartowski/openai_gpt-oss-20b-GGUF/openai_gpt-oss-20b-MXFP4.gguf";

/**
 * One that answers if there is one.
 * @param {Snapshot | null} snapshot
 */
export function modelToTry(snapshot) {
  const pools = snapshot?.utilization.model_pools.pools ?? [];
  const answering = pools.find(({ serving, unmanaged }) => serving + unmanaged > 0);
  return (answering ?? pools[0])?.model_id ?? EXAMPLE;
}

/**
 * A chat with a key.
 * @param {string} origin
 * @param {string} key
 * @param {string} model
 */
export function chatCommand(origin, key, model) {
  return [
    `curl -N ${origin}/v1/chat/completions -H "Authorization: Bearer ${key}" \\`,
    `  -d '{"model":"${model}","stream":true,"messages":[{"role":"user","content":"Hello"}]}'`,
  ].join("\n");
}

/**
 * Reads what each machine does with an admin token.
 * @param {string} origin
 * @param {string} token
 */
export function readCommand(origin, token) {
  return `curl ${origin}/v1/admin/utilization -H "Authorization: Bearer ${token}"`;
}

/**
 * Connects a machine. It is one command that asks for the token, so that the token gets neither into the history of the
 * shell nor into the list of processes, and none of its lines is taken for the token.
 * @param {string} origin
 * @param {readonly string[]} options which model the provider offers, and where that is
 */
export function connectCommand(origin, options) {
  return [
    "mkdir -p ~/.poolkeeper && chmod 700 ~/.poolkeeper && \\",
    "  printf 'Provider token: ' && read -rs TOKEN && echo && \\",
    `  printf '%s\\n' "$TOKEN" > ~/.poolkeeper/token && chmod 600 ~/.poolkeeper/token && \\`,
    `  npx node provider/src/main.ts --coordinator ${origin} --token-file ~/.poolkeeper/token \\`,
    `  ${options.join(" \\\n  ")}`,
  ].join("\n");
}
