import { mkdir } from "node:fs/promises";
import { join } from "node:path";

import { build } from "esbuild";

import { ROOT } from "./root.ts";

/**
 * Bundles the Worker and its Durable Objects into one module, as `wrangler deploy` would.
 * @returns the bundle's path.
 */
export async function bundleWorker(outDir: string, minify = false): Promise<string> {
  await mkdir(outDir, { recursive: true });
  const outfile = join(outDir, "worker.js");
  await build({
    absWorkingDir: ROOT,
    entryPoints: ["worker/index.ts"],
    outfile,
    bundle: true,
    minify,
    format: "esm",
    target: "es2024",
    conditions: ["workerd", "worker", "browser"],
    external: ["cloudflare:*", "node:*"],
    logLevel: "error",
  });
  return outfile;
}
