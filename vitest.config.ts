import { cloudflareTest } from "@cloudflare/vitest-plugin";
import { defineConfig } from "vitest/config";

/** No test depends on speed: this only says when a condition that is waited for is given up. */
const patient = { poll: { timeout: 30_000 } };

/** Five kinds of tests, the fast ones first; `npm test -- --project unit` runs one kind. */
export default defineConfig({
  test: {
    projects: [
      // Properties are checked on many samples, which takes a while on a busy machine.
      { test: { name: "unit", expect: patient, include: ["test/unit/**/*.test.ts"], testTimeout: 60_000 } },
      {
        test: {
          name: "simulation",
          expect: patient,
          include: ["test/simulation/**/*.test.ts"],
          testTimeout: 120_000,
        },
      },
      {
        plugins: [
          cloudflareTest({
            wrangler: { configPath: "./wrangler.toml" },
            miniflare: { bindings: { ADMIN_TOKEN: "admin-token-of-the-tests" } },
          }),
        ],
        test: { name: "edge", expect: patient, include: ["test/edge/**/*.test.ts"] },
      },
      {
        test: {
          name: "provider",
          expect: patient,
          include: ["test/provider/**/*.test.ts"],
          testTimeout: 60_000,
        },
      },
      {
        test: {
          name: "end-to-end",
          expect: patient,
          include: ["test/end-to-end/**/*.test.ts"],
          testTimeout: 120_000,
          hookTimeout: 120_000,
          fileParallelism: false,
        },
      },
    ],
  },
});
