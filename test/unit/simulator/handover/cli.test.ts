import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

import { describe, expect, it } from "vitest";

import { runHandover } from "../../../../simulator/handover/cli.ts";
import { MUTATIONS } from "../../../../simulator/handover/mutations.ts";

describe("npm run simulate:handover", () => {
  it.each([
    [["--seeds", "x"], /--seeds x is not a whole number of 1 or more/],
    [["--seeds", "0"], /--seeds 0/],
    [["--from", "1.5"], /--from 1\.5/],
    [["--seed", ""], /--seed +is not/],
    [["--mutation", "foo"], /--mutation takes one of /],
    [["--nope"], /Unknown option '--nope'.*Options: --seeds/],
  ])("refuses %j, which would pass for a run without failures", async (options, message) => {
    const printed: string[] = [];
    await expect(runHandover(options, (line) => printed.push(line))).rejects.toThrow(message);
    expect(printed).toEqual([]);
  });

  it("says how many of its seeds failed", async () => {
    const printed: string[] = [];
    expect(await runHandover(["--seeds", "1"], (line) => printed.push(line))).toBe(true);
    expect(printed).toEqual([expect.stringMatching(/^1 seeds from 1: 0 failures, /)]);
  });

  it("helps, and names every rule that can be disabled", async () => {
    const printed: string[] = [];
    expect(await runHandover(["--help"], (line) => printed.push(line))).toBe(true);
    expect(printed.join("\n")).toContain("--seeds N ");
    for (const name of Object.keys(MUTATIONS)) expect(printed.join("\n")).toMatch(RegExp(`[ ,]${name}[,.]`));
  });

  it("ends as a process with exit code 2 and says why", { timeout: 30_000 }, () => {
    const main = fileURLToPath(new URL("../../../../simulator/handover/main.ts", import.meta.url));
    const { status, stdout, stderr } = spawnSync(process.execPath, [main, "--seeds", "x"], {
      encoding: "utf8",
    });
    expect(status).toBe(2);
    expect(stderr).toMatch(/^--seeds x is not/);
    expect(stdout).toBe("");
  });
});
