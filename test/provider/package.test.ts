import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";

import { expect, it } from "vitest";

/** What is published, as `npm pack` builds it. */

const PROVIDER = join(import.meta.dirname, "../../provider");
const NODE_20 = `--import=${new URL("../support/as-node-20.ts", import.meta.url).href}`;

function node(...argv: string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, argv, { encoding: "utf8" });
}

it("runs from its bundle with what Node 20 has, and brings the licenses of all that is inside", () => {
  expect(node(join(PROVIDER, "build.ts"))).toMatchObject({ status: 0, stderr: "" });
  const dist = join(PROVIDER, "dist");
  expect(readdirSync(dist).sort()).toEqual(["LICENSES.txt", "llama-child.js", "main.js"]);
  const main = join(dist, "main.js");
  expect(statSync(main).mode & 0o111).toBe(0o111);
  expect(node(NODE_20, main, "--help").stdout).toContain("poolkeeper-provider why");
  const { version } = JSON.parse(readFileSync(join(PROVIDER, "package.json"), "utf8")) as { version: string };
  expect(node(NODE_20, main, "--version").stdout).toBe(`${version}\n`);
  const licenses = readFileSync(join(dist, "LICENSES.txt"), "utf8");
  expect(licenses).toMatch(/^\s*Apache License/);
  for (const name of ["@eslint-community/regexpp", "eventsource-parser", "zod"]) {
    expect(licenses).toMatch(new RegExp(`^${name}\n\n.*MIT`, "m"));
  }
});
