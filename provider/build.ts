import { chmod, rm } from "node:fs/promises";
import { join } from "node:path";

import { build } from "esbuild";

/**
 * Builds what is published: the program and the engine's child process, each one file that has the wire protocol, zod
 * and the parser of patterns inside. What holds native code or belongs to the platform stays outside and is installed by
 * npm.
 */

const root = import.meta.dirname;
const outdir = join(root, "dist");

await rm(outdir, { recursive: true, force: true });
await build({
  absWorkingDir: root,
  entryPoints: ["src/main.ts", "src/engines/llama-child.ts"],
  outdir,
  // Side by side: the program starts its child from its own directory.
  entryNames: "[name]",
  bundle: true,
  platform: "node",
  target: "node20",
  format: "esm",
  external: ["node-llama-cpp", "ws"],
  legalComments: "linked",
  logLevel: "warning",
});
await chmod(join(outdir, "main.js"), 0o755);
