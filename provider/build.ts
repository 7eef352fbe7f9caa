import { chmod, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { build, type Metafile } from "esbuild";

/**
 * Builds what is published: the program and the engine's child process, each one file that has the wire protocol, zod
 * and the parser of patterns inside. What holds native code or belongs to the platform stays outside and is installed by
 * npm.
 */

const root = import.meta.dirname;
const outdir = join(root, "dist");

await rm(outdir, { recursive: true, force: true });
const { metafile } = await build({
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
  metafile: true,
  logLevel: "warning",
});
await chmod(join(outdir, "main.js"), 0o755);
await writeFile(join(outdir, "LICENSES.txt"), await licensesOf(metafile));

/** Of this program, and of each package that is inside: they want to be there with every copy. */
async function licensesOf({ inputs }: Metafile): Promise<string> {
  const folders = Object.keys(inputs).flatMap(
    (path) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path) ?? [],
  );
  const texts = [await readFile(join(root, "../LICENSE"), "utf8")];
  for (const folder of [...new Set(folders)].sort()) {
    const name = folder.replace(/^.*node_modules\//, "");
    texts.push(`${name}\n\n${await readFile(join(root, folder, "LICENSE"), "utf8")}`);
  }
  return texts.join(`\n${"-".repeat(80)}\n\n`);
}
