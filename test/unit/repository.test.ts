import { readFileSync } from "node:fs";

import { expect, it } from "vitest";

/** What the lock file must hold so that `npm ci` works on a Mac and stays small everywhere. */

interface Locked {
  readonly packages: Readonly<Record<string, { readonly name?: string; readonly version?: string }>>;
}

const { packages } = JSON.parse(
  readFileSync(new URL("../../package-lock.json", import.meta.url), "utf8"),
) as Locked;

it.each([
  ["@cloudflare/workerd-darwin-arm64", "workerd"],
  ["@cloudflare/workerd-darwin-64", "workerd"],
  ["@node-llama-cpp/mac-arm64-metal", "node-llama-cpp"],
  ["@oxlint/binding-darwin-arm64", "oxlint"],
  ["@oxfmt/binding-darwin-arm64", "oxfmt"],
  ["@typescript/typescript-darwin-arm64", "typescript"],
])("the lock file holds %s in the version of %s", (binary, owner) => {
  const version = packages[`node_modules/${owner}`]?.version;
  expect(version).toBeDefined();
  expect(packages[`node_modules/${binary}`]?.version).toBe(version);
});

it("the lock file replaces the GPU binaries that only fill the disk", () => {
  const heavy = Object.entries(packages).filter(([path]) => /@node-llama-cpp\/.*(cuda|vulkan)/.test(path));
  expect(heavy.length).toBeGreaterThan(0);
  for (const [, locked] of heavy) expect(locked.name).toBe("noop-package");
});
