/**
 * Takes out of node_modules what some packages bring along and nothing here can use: 120 MB of 700. Runs after every
 * `npm ci`. What is not there is passed over, so that a package may stop bringing it; what could not be taken out is
 * left and said, since an installation that is too large still works. Plain JavaScript, since it may run on Node 20.
 */
import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";

const [modules = "node_modules"] = process.argv.slice(2);

// The package "node" installs the program through a package of its platform, hard-links it and needs no more of that
// one. The headers in it are for building native addons; ours come as binaries.
const platforms = join(modules, "node", "node_modules");
for (const platform of namesIn(platforms).filter((name) => name.startsWith("node-"))) {
  for (const name of ["include", "share", "CHANGELOG.md"]) remove(join(platforms, platform, name));
}

// llama.cpp's history, to build it from. The provider always asks for a binary (`build: "never"`).
remove(join(modules, "node-llama-cpp", "llama", "gitRelease.bundle"));

// This package names x64 among its processors, for those who pack for others, so npm installs it there too.
if (process.arch !== "arm64") remove(join(modules, "@node-llama-cpp", "linux-arm64", "bins"));

/** @param {string} folder */
function namesIn(folder) {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** @param {string} path */
function remove(path) {
  try {
    rmSync(path, { recursive: true, force: true });
  } catch (error) {
    console.warn(`Could not take out ${path}: ${error}`);
  }
}
