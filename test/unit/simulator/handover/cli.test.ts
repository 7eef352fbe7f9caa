import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

import { expect, it } from "vitest";

const CLI = fileURLToPath(new URL("../../../../simulator/handover/cli.ts", import.meta.url));

it.each([
  [["--seeds", "x"], /--seeds x is not a whole number of 1 or more/],
  [["--seeds", "0"], /--seeds 0/],
  [["--from", "1.5"], /--from 1\.5/],
  [["--seed", ""], /--seed +is not/],
  [["--nope"], /Unknown option '--nope'.*Options: --seeds/],
])(
  "npm run simulate:handover refuses %j, which would pass for a run without failures",
  (options, message) => {
    const { status, stderr } = spawnSync(process.execPath, [CLI, ...options], { encoding: "utf8" });
    expect(status).toBe(2);
    expect(stderr).toMatch(message);
  },
  30_000,
);
