import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { runSimulate } from "../../../../simulator/placement/cli.ts";
import { fleetJson } from "./scenarios.ts";

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "simulate-"));
  writeFileSync(join(directory, "t.csv"), "t_s,model,n\n0,a,5\n0,b,5\n60,a,6\n60,b,4\n");
  writeFileSync(join(directory, "f.json"), JSON.stringify(fleetJson()));
});
afterAll(() => rmSync(directory, { recursive: true }));

const inDirectory = (name: string): string => join(directory, name);
const files = (): string[] => ["--trace", inDirectory("t.csv"), "--fleet", inDirectory("f.json")];

async function simulate(print: (text: string) => void, ...more: string[]): Promise<void> {
  await runSimulate([...files(), ...more], print);
}

describe("npm run simulate", () => {
  it("writes what it was asked for", async () => {
    const printed: string[] = [];
    const outputs = ["--json", inDirectory("r.json"), "--html", inDirectory("r.html")];
    await simulate((text) => printed.push(text), "--policies", "greedy", ...outputs);
    expect(printed.join("\n")).toMatch(/^greedy /m);
    expect(existsSync(inDirectory("r.json")) && existsSync(inDirectory("r.html"))).toBe(true);
  });

  it("takes a policy that is named twice once, and a window beyond the end up to the end", async () => {
    const printed: string[] = [];
    await simulate((text) => printed.push(text), "--policies", "greedy,greedy", "--requests", "1-9");
    const text = printed.join("\n");
    expect(text).toMatch(/M7 is counted in minutes 1 to 1,/);
    expect(text.match(/greedy \d+\/\d+/g)).toHaveLength(1);
  });

  it("says what of the trace it leaves out", async () => {
    const more = inDirectory("more.csv");
    writeFileSync(more, "t_s,model,n\n0,a,5\n0,b,5\n0,c,4\n60,d,2\n");
    const printed: string[] = [];
    const print = (text: string): number => printed.push(text);
    await simulate(print, "--policies", "greedy", "--trace", more);
    expect(printed.join("\n")).toContain(
      "\nleft out, since the fleet file does not name them: c, d (37.5 % of all requests)\n",
    );
    printed.length = 0;
    await simulate(print, "--policies", "greedy");
    expect(printed.join("\n")).not.toContain("left out");
  });

  it("helps", async () => {
    const printed: string[] = [];
    await runSimulate(["--help"], (text) => printed.push(text));
    expect(printed.join("\n")).toContain("--requests A-B");
  });

  it.each([
    [["--policies", "foo"], /"foo" is none of ours, .*, gain, optimum-floors\./],
    [["--seed", "x"], /--seed x is not a whole number/],
    [["--seed", ""], /is not a whole number/],
    [["--requests", "2-9"], /only the minutes 0 to 1/],
    [["--days", "3-4"], /none in those days/],
    [["--json", "nowhere/r.json"], /nowhere\/r\.json cannot be written/],
    [["--html", "."], /\. cannot be written: it is a directory/],
    [["--nope", "1"], /Unknown option '--nope'[^]*--trace FILE/],
  ])("refuses %j with a sentence, before it works", async (options, message) => {
    const printed: string[] = [];
    await expect(simulate((text) => printed.push(text), ...options)).rejects.toThrow(message);
    expect(printed).toEqual([]);
  });

  it("ends as a process with exit code 2 and says why", () => {
    const main = fileURLToPath(new URL("../../../../simulator/placement/main.ts", import.meta.url));
    const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...files(), "--seed", "x"], {
      encoding: "utf8",
    });
    expect(status).toBe(2);
    expect(stderr).toMatch(/^--seed x is not a whole number/);
    expect(stdout).toBe("");
  });
});
