import { join, relative } from "node:path";

import { DEMO_MODELS } from "./demo-machine.ts";
import type { StartOptions } from "./options.ts";

/** What `npm start` prints when all runs: the address, the key, and what to do next, in lines to copy. */
export function usageOf(
  url: string,
  apiKey: string,
  { demo, stateDir }: StartOptions,
  hasModels: boolean,
): string {
  const devFile = join(relative(process.cwd(), stateDir) || ".", "dev.json");
  return [
    "",
    demo
      ? "Ready for any OpenAI client. Ctrl-C stops everything."
      : "Ready, but no machine is started. Ctrl-C stops the coordinator.",
    `  base URL  ${url}/v1`,
    `  API key   ${apiKey}`,
    `  dashboard ${url}/dashboard asks for the admin token:`,
    `            node -p 'JSON.parse(fs.readFileSync(${JSON.stringify(devFile)})).admin_token'`,
    "",
    ...(demo ? askTheDemo(url, apiKey) : fillTheFleet(url, devFile, hasModels)),
  ].join("\n");
}

function askTheDemo(url: string, apiKey: string): readonly string[] {
  const body = `{"model":"${DEMO_MODELS[0]}","stream":true,"messages":[{"role":"user","content":"Hello"}]}`;
  return [
    `curl -N ${url}/v1/chat/completions \\`,
    `  -H "Authorization: Bearer ${apiKey}" \\`,
    `  -d '${body}'`,
  ];
}

/** A coordinator without machines answers nothing. A catalog that somebody has made must not be replaced. */
function fillTheFleet(url: string, devFile: string, hasModels: boolean): readonly string[] {
  const [model] = DEMO_MODELS;
  const addModel = [
    `curl -X PUT ${url}/v1/admin/catalog/${model} -H "Authorization: Bearer $(field admin_token)" \\`,
    `  -d '{"context_length":1024,"size_gb":0.003,"min_ram_gb":1}'`,
  ];
  return [
    hasModels
      ? "Connect a machine from another terminal, for a model of the catalog:"
      : "The catalog is empty. In another terminal, put a model into it and connect a machine:",
    "",
    `field() { node -p "JSON.parse(fs.readFileSync('${devFile}'))['$1']"; }`,
    ...(hasModels ? [] : addModel),
    "POOLKEEPER_PROVIDER_TOKEN=$(field provider_token) npx node provider/src/main.ts \\",
    `  --coordinator ${url} --model ${hasModels ? "ID=FILE.gguf" : `${model}=models/${model}.gguf`}`,
    "",
    ...(hasModels
      ? ["FILE.gguf may be hf:ORG/REPO/FILE.gguf, which is downloaded: provider/README.md."]
      : []),
    "docs/operations.md says how to add models of your own, and keys.",
  ];
}
