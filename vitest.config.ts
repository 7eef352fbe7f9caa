import { readFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";

import { cloudflareTest } from "@cloudflare/vitest-plugin";
import { defineConfig } from "vitest/config";

/** No test depends on speed: these only say when something that is waited for is given up. */
const patient = {
  expect: { poll: { timeout: 30_000 } },
  testTimeout: 120_000,
  hookTimeout: 120_000,
};

/** One more than there are cores: most tests wait for processes and sockets. */
const maxWorkers = availableParallelism() + 1;

/** Marks a module that exports the text of a file; the zero says that it is none on disk. */
const TEXT = "\0text:";

/**
 * The Worker imports the dashboard's files `with { type: "text" }`. Its bundlers know that, Vite does not: it would
 * run the scripts and strip the style.
 */
const dashboardTexts = {
  name: "dashboard-texts",
  enforce: "pre" as const,
  resolveId: (source: string) =>
    source.startsWith("../dashboard/") ? `${TEXT}${source.slice("../dashboard/".length)}.text` : null,
  load(id: string) {
    if (!id.startsWith(TEXT)) return null;
    const file = new URL(`dashboard/${id.slice(TEXT.length, -".text".length)}`, import.meta.url);
    return `export default ${JSON.stringify(readFileSync(file, "utf8"))}`;
  },
};

/**
 * What the Worker and its tests import, as one module each. A new workerd for each file of tests imports every module over
 * HTTP, and these have hundreds.
 */
const edgeLibraries = [
  "zod",
  "hono",
  "hono/cors",
  "hono/etag",
  "hono/html",
  "hono/router",
  "hono/router/trie-router",
  "openai",
  "@anthropic-ai/sdk",
  "asn1js",
  "pkijs",
];

/** Six kinds of tests, the fast ones first; `npm test -- --project unit` runs one kind. */
export default defineConfig({
  test: {
    // Tests start hundreds of Node processes, which would each compile the same modules. This is Node's own folder for it.
    env: { NODE_COMPILE_CACHE: join(tmpdir(), "node-compile-cache") },
    projects: [
      // Properties are checked on many samples, which takes a while on a busy machine. What is tested keeps no state in its
      // modules, so files share a worker and what it has imported: that halves the time of all.
      {
        test: {
          name: "unit",
          ...patient,
          include: ["test/unit/**/*.test.ts"],
          maxWorkers,
          isolate: false,
        },
      },
      {
        test: {
          name: "simulation",
          ...patient,
          include: ["test/simulation/**/*.test.ts"],
          testTimeout: 1_200_000,
          maxWorkers,
        },
      },
      {
        plugins: [
          dashboardTexts,
          cloudflareTest({
            wrangler: { configPath: "./wrangler.toml" },
            miniflare: { bindings: { ADMIN_TOKEN: "admin-token-of-the-tests" } },
          }),
        ],
        test: {
          name: "edge",
          ...patient,
          include: ["test/edge/**/*.test.ts"],
          maxWorkers,
          deps: { optimizer: { ssr: { enabled: true, include: edgeLibraries } } },
        },
      },
      {
        test: {
          name: "provider",
          ...patient,
          include: ["test/provider/**/*.test.ts"],
          maxWorkers,
        },
      },
      {
        test: {
          name: "end-to-end",
          ...patient,
          include: ["test/end-to-end/**/*.test.ts"],
          maxWorkers,
        },
      },
      {
        test: {
          name: "dashboard",
          ...patient,
          include: ["test/dashboard/**/*.test.ts"],
          globalSetup: "test/dashboard/stage.ts",
          maxWorkers,
          isolate: false,
        },
      },
    ],
  },
});
