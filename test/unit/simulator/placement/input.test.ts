import { rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

import { describe, expect, it } from "vitest";

import { BadInput } from "../../../../simulator/placement/bad-input.ts";
import { firstPlacement } from "../../../../simulator/placement/first-placement.ts";
import { parseFleetFile, readFleetFile } from "../../../../simulator/placement/fleet-file.ts";
import { scenarioOf } from "../../../../simulator/placement/scenario.ts";
import { parseTrace, readTrace } from "../../../../simulator/placement/trace.ts";
import { fleetJson, fleetWith } from "./scenarios.ts";

const HEAD = "t_s,model,n,prompt_tokens,output_tokens";

describe("a trace", () => {
  it("sums rows into minutes, with a gap as zero and further columns skipped", () => {
    const trace = parseTrace(
      `${HEAD},gap_filled\n60,a,3,1,1,0\n90,a,2,1,1,0\n60,b,1,1,1,1\n180,b,4,1,1,0\n`,
      "t",
    );
    expect(trace).toEqual({
      models: ["a", "b"],
      start_s: 60,
      counts: [
        [5, 1],
        [0, 0],
        [0, 4],
      ],
    });
  });

  it("spreads rows that stand for more than a minute", () => {
    expect(parseTrace(`${HEAD}\n0,a,10,0,0\n600,a,20,0,0\n`, "t").counts.map(([n]) => n)).toEqual([
      ...Array.from({ length: 10 }, () => 1),
      ...Array.from({ length: 10 }, () => 2),
    ]);
  });

  it("does not spread rows that are far apart by chance", () => {
    const counts = parseTrace(`${HEAD}\n0,a,1,0,0\n420,a,2,0,0\n1020,a,3,0,0\n`, "t").counts.map(([n]) => n);
    expect(counts).toHaveLength(18);
    expect([counts[0], counts[1], counts[7], counts[17]]).toEqual([1, 0, 2, 3]);
  });

  it("reads quoted cells, and does without token counts", () => {
    const text = '"t_s","model","n","prompt_tokens","output_tokens"\n0,"a",3,,\n';
    expect(parseTrace(text, "t")).toEqual({ models: ["a"], start_s: 0, counts: [[3]] });
  });

  it("reads gzip", () => {
    const path = join(tmpdir(), `poolkeeper-trace-${process.pid}.csv.gz`);
    writeFileSync(path, gzipSync(`${HEAD}\r\n0,a,1,0,0\r\n`));
    expect(readTrace(path).counts).toEqual([[1]]);
    expect(parseTrace(`${HEAD}\r0,a,1,0,0\r`, "t").counts).toEqual([[1]]);
  });

  it.each([
    ["t_s,model\n0,a\n", /line 1: the column "n" is missing/],
    [`${HEAD}\n0,a,1,0,0\n60,a,many,0,0\n`, /line 3, column "n": "many" is not a number/],
    [`${HEAD}\n0,a,-1,0,0\n`, /line 2, column "n"/],
    [`${HEAD}\n0,a,1,x,0\n`, /line 2, column "prompt_tokens"/],
    [`${HEAD}\n0,,1,0,0\n`, /line 2, column "model": the name is empty/],
    [`${HEAD}\n0,a,1\n`, /line 2: 3 cells, but the header has 5/],
    [
      "0,a,1\n60,a,2\n",
      /line 1: the column "t_s" is missing \(found: 0, a, 1\)\. The first line has to name/,
    ],
    ["\r\n", /^t is empty\. The first line has to name the columns: t_s,model,n\.$/],
    ["t_s;model;n\n0;a;1\n", /\(found: t_s;model;n; commas have to be between them\)/],
    ["t_s\tmodel\tn\n0\ta\t1\n", /\(found: t_s\?model\?n; commas have to be between them\)/],
    ["\u0007\u001B[31m\u0000", /\(found: \?\?\[31m\?\)/],
    [JSON.stringify(Array(1000).fill("x")), /^t, line 1: .{1,280}$/],
    [`${HEAD}\n0,a,1e300,0,0\n`, /line 2, column "n": 1e300 is too large/],
    [`${HEAD}\n`, /no rows/],
    [`${HEAD}\n0,a,1,0,0\n1e10,a,1,0,0\n`, /is "t_s" in seconds/],
  ])("refuses %j", (text, message) => {
    expect(() => parseTrace(text, "t")).toThrow(message);
    expect(() => parseTrace(text, "t")).toThrow(BadInput);
  });

  it("refuses more text than it can hold, packed or not, and a packed file that is damaged", () => {
    const path = join(tmpdir(), `poolkeeper-trace-large-${process.pid}.csv`);
    const packed = gzipSync(Buffer.alloc(129 * 2 ** 20), { level: 1 });
    writeFileSync(path, packed);
    expect(() => readTrace(path)).toThrow(/has more than 128 MB of text\. One row/);
    truncateSync(path, 0);
    truncateSync(path, 129 * 2 ** 20);
    expect(() => readTrace(path)).toThrow(/has more than 128 MB of text\. One row/);
    writeFileSync(path, packed.subarray(0, 100));
    expect(() => readTrace(path)).toThrow(/cannot be unpacked: copy it again/);
    rmSync(path);
  });

  it("says when there is no file", () => {
    expect(() => readTrace("/nowhere.csv")).toThrow(BadInput);
    expect(() => readFleetFile("/nowhere.json")).toThrow(BadInput);
  });
});

describe("a fleet file", () => {
  it.each([
    [{ load: "much" }, "fleet.json: load: must be a number, not text."],
    [{ load: undefined }, "fleet.json: load: is required and must be a number."],
    [{ machines: [] }, "fleet.json: machines: must not be empty."],
    [{ machines: [{ count: 0, memory_gb: 64, chip: "M1" }] }, "machines[0].count: must be at least 1."],
    [{ observe: "guess" }, 'observe: must be "perfect" or "refusals".'],
    [
      { models: [{ id: "a", share: 1, size_gb: 1, min_ram_gb: 1, floor: 3, cap: 2 }] },
      "fleet.json: models[0].floor: must be at most the cap, which is 2.",
    ],
    [{ models: [{ id: "a", share: 0, size_gb: 1, min_ram_gb: 1 }] }, "the shares of all models are 0."],
    [{ colour: "red" }, "colour: there is no such field; leave it out."],
    [{ machines: [{ count: 4, memory_gb: 16, chip: "M1" }] }, /"a" fits on no machine/],
    [
      { models: [{ id: "a", share: 1, size_gb: 1, min_ram_gb: 1, floor: 5 }] },
      'the floor of "a" is above the 4 machines it fits on.',
    ],
    [{ machines: [{ count: 1, memory_gb: 64, chip: "M1" }] }, /floors add up to more/],
    [{ machines: [{ count: 4, memory_gb: 64, chip: "M1", speed: { c: 1 } }] }, /"c", which is no model/],
  ])("refuses %j", (more, message) => {
    expect(() => parseFleetFile(fleetJson(more), "fleet.json")).toThrow(message);
    expect(() => parseFleetFile(fleetJson(more), "fleet.json")).toThrow(BadInput);
  });
});

describe("a scenario", () => {
  const trace = parseTrace(`${HEAD}\n0,a,1,0,0\n0,b,50,0,0\n60,a,3,0,0\n60,b,50,0,0\n`, "t");

  it("gives each model its share of load times capacity, on average", () => {
    expect(scenarioOf(trace, fleetWith(), 1).demand).toEqual([
      [0.75, 0.5],
      [2.25, 0.5],
    ]);
  });

  it("says which model the trace does not have", () => {
    const models = [{ id: "c", share: 1, size_gb: 1, min_ram_gb: 1 }];
    expect(() => scenarioOf(trace, fleetWith({ models }), 1)).toThrow(
      'no request for the model "c" (it has: a, b). Correct its id, or',
    );
    const silent = parseTrace(`${HEAD}\n0,c,0,0,0\n`, "t");
    expect(() => scenarioOf(silent, fleetWith({ models }), 1)).toThrow(
      'no request for the model "c" (all its rows have n = 0). Give it a share of 0.',
    );
  });

  it("has a model with a share of 0 that nobody asks for", () => {
    const models = [
      { id: "a", share: 1, size_gb: 1, min_ram_gb: 1 },
      { id: "c", share: 0, size_gb: 1, min_ram_gb: 1, floor: 2 },
    ];
    const scenario = scenarioOf(trace, fleetWith({ models }), 1);
    expect(scenario.demand).toEqual([
      [1, 0],
      [3, 0],
    ]);
    expect(firstPlacement(scenario)).toEqual([1, 1, 0, 0]);
  });

  it("refuses days without a request, and more requests than can be counted", () => {
    const days = { first: 1, last: 1 };
    const late = parseTrace(`${HEAD}\n0,a,1,0,0\n60,b,1,0,0\n90000,a,0,0,0\n`, "t");
    expect(() => scenarioOf(late, fleetWith(), 1, days)).toThrow(/no request for any of the models in those/);
    expect(() => scenarioOf(trace, fleetWith({ load: 1e6 }), 1)).toThrow(
      /40000000 requests a minute, more than/,
    );
    expect(() => scenarioOf(trace, fleetWith({ load: 1e6 }), 1)).toThrow(BadInput);
  });

  it("draws the same outages from the same seed", () => {
    const long = parseTrace(`${HEAD}\n0,a,1,0,0\n60,b,1,0,0\n86400,a,1,0,0\n`, "t");
    const fleet = fleetWith({ churn: { mean_hours: 2 } });
    expect(scenarioOf(long, fleet, 7).outages).toEqual(scenarioOf(long, fleet, 7).outages);
    expect(scenarioOf(long, fleet, 7).outages).not.toEqual(scenarioOf(long, fleet, 8).outages);
  });
});
