import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { fleetJson } from "./scenarios.ts";

/** The command as a process: what it says and how it ends. */
const CLI = fileURLToPath(new URL("../../../../simulator/placement/cli.ts", import.meta.url));

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "simulate-"));
  writeFileSync(join(directory, "t.csv"), "t_s,model,n\n0,a,5\n0,b,5\n60,a,6\n60,b,4\n");
  writeFileSync(join(directory, "f.json"), JSON.stringify(fleetJson()));
});
afterAll(() => rmSync(directory, { recursive: true }));

function simulate(...more: string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, [CLI, "--trace", "t.csv", "--fleet", "f.json", ...more], {
    cwd: directory,
    encoding: "utf8",
  });
}

describe("npm run simulate", { timeout: 120_000 }, () => {
  it("writes what it was asked for", () => {
    const { status, stdout } = simulate("--policies", "greedy", "--json", "r.json", "--html", "r.html");
    expect(status).toBe(0);
    expect(stdout).toMatch(/^greedy /m);
    expect(existsSync(join(directory, "r.json")) && existsSync(join(directory, "r.html"))).toBe(true);
  });

  it("takes a policy that is named twice once, and a window beyond the end up to the end", () => {
    const { stdout } = simulate("--policies", "greedy,greedy", "--requests", "1-9");
    expect(stdout).toMatch(/M7 is counted in minutes 1 to 1,/);
    expect(stdout.match(/greedy \d+\/\d+/g)).toHaveLength(1);
  });

  it("says what of the trace it leaves out", () => {
    writeFileSync(join(directory, "more.csv"), "t_s,model,n\n0,a,5\n0,b,5\n0,c,4\n60,d,2\n");
    const { stdout } = simulate("--policies", "greedy", "--trace", "more.csv");
    expect(stdout).toContain(
      "\nleft out, since the fleet file does not name them: c, d (37.5 % of all requests)\n",
    );
    expect(simulate("--policies", "greedy").stdout).not.toContain("left out");
  });

  it("helps", () => {
    const { status, stdout } = simulate("--help");
    expect(status).toBe(0);
    expect(stdout).toContain("--requests A-B");
  });

  it.each([
    [["--policies", "foo"], /"foo" is none of ours, .*, gain, optimum-floors\./],
    [["--seed", "x"], /--seed x is not a whole number/],
    [["--seed", ""], /is not a whole number/],
    [["--requests", "2-9"], /only the minutes 0 to 1/],
    [["--days", "3-4"], /none in those days/],
    [["--json", "nowhere/r.json"], /nowhere\/r\.json cannot be written/],
    [["--html", "."], /\. cannot be written: it is a directory/],
  ])("refuses %j with a sentence, before it works", (options, message) => {
    const { status, stdout, stderr } = simulate(...options);
    expect(status).toBe(2);
    expect(stderr).toMatch(message);
    expect(stdout).toBe("");
  });
});
