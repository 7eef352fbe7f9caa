import { join } from "node:path";

import type { ScoredDay } from "../../../core/placement/score.ts";
import { firstPlacement } from "../first-placement.ts";
import { readFleetFile } from "../fleet-file.ts";
import { scenarioOf } from "../scenario.ts";
import { readTrace } from "../trace.ts";
import { replay } from "../world.ts";

/**
 * Holds what shadow says against what enforce then reaches, day by day: the share of the requests that there was room for, and the
 * switches. FOLDER holds the traces of make-families.ts. Usage: node shadow-score.ts FOLDER FAMILY...
 */
function compare(folder: string, family: string): void {
  const fleet = readFleetFile(join(import.meta.dirname, `${family}.json`));
  const trace = readTrace(join(folder, `${family}.csv.gz`));
  const scenario = scenarioOf(trace, fleet, 1, { first: 0, last: 1 });
  const placement = firstPlacement(scenario);
  const shadow = replay(scenario, placement, "shadow").score;
  const enforced = replay(scenario, placement, "enforce").score;
  for (const [day, said] of shadow.entries()) {
    const reached = enforced[day];
    if (reached === undefined) continue;
    console.log(
      [
        `${family}, day ${day}: shadow says ${shareOf(said, said.otherwise)} instead of ${shareOf(said, said.asPlaced)}`,
        `${switchesOf(said)} switches a machine-day`,
        `enforce has ${shareOf(reached, reached.asPlaced)} instead of ${shareOf(reached, reached.otherwise)}`,
        `${switchesOf(reached)} switches`,
      ].join(", "),
    );
  }
}

function shareOf({ offered }: ScoredDay, room: number): string {
  return `${((100 * room) / offered).toFixed(1)} %`;
}

function switchesOf({ switches, machineSeconds }: ScoredDay): string {
  return ((switches * 86_400) / machineSeconds).toFixed(2);
}

const [folder, ...families] = process.argv.slice(2);
if (folder === undefined || families.length === 0) {
  console.error("Usage: node shadow-score.ts FOLDER FAMILY...");
  process.exitCode = 2;
} else for (const family of families) compare(folder, family);
