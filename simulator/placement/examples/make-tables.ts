import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { z } from "zod";

import { type FleetFile, readFleetFile } from "../fleet-file.ts";
import { scenarioOf } from "../scenario.ts";
import { EXTRA_POLICY_NAMES, POLICY_NAMES, simulate } from "../simulate.ts";
import { readTrace } from "../trace.ts";

/**
 * Makes the tables of docs/placement.md: every policy in the four families, with switches of two and of four minutes, on the days that the
 * planner was tuned on and on the days that it was not, and again with everything that can go wrong. FOLDER holds the traces
 * of make-families.ts; each case is kept there as JSON and is not run again. Usage: node make-tables.ts FOLDER [part of a case's name]
 */
const FAMILIES = ["near-capacity", "rotation", "long-tail", "small-fleet"];

const resultSchema = z.record(
  z.string(),
  z.object({
    m1: z.number(),
    m2: z.number().nullable(),
    m3_mean: z.number(),
    m3_worst: z.number().nullable(),
    m3_back: z.number().nullable(),
    m4_minutes: z.number().nullable(),
    m4_mean: z.number().nullable(),
    m5_worst: z.number().nullable(),
    m6: z.number(),
    m7: z.number(),
  }),
);
type CaseResult = z.infer<typeof resultSchema>;

interface Case {
  readonly family: string;
  readonly days: { readonly first: number; readonly last: number };
  readonly switchMinutes: number;
  readonly isRough: boolean;
}

const SECTIONS = [
  { title: "Days 0 to 4", days: { first: 0, last: 4 }, isRough: false, switches: [2, 4] },
  { title: "Days 5 and 6", days: { first: 5, last: 6 }, isRough: false, switches: [2, 4] },
  { title: "Days 5 and 6, with disturbances", days: { first: 5, last: 6 }, isRough: true, switches: [2] },
] as const;

/** Three machine classes, churn, failing loads, and demand seen only through arrivals and refusals. */
function roughened(fleet: FleetFile): FleetFile {
  const machines = fleet.machines.reduce((sum, { count }) => sum + count, 0);
  const slow = Math.round(machines / 3);
  const fast = Math.round(machines / 4);
  return {
    ...fleet,
    machines: [
      { count: slow, memory_gb: 32, chip: "M1-Pro", speed: 0.7 },
      { count: machines - slow - fast, memory_gb: 64, chip: "M2-Max", speed: 1 },
      { count: fast, memory_gb: 128, chip: "M3-Ultra", speed: 1.5 },
    ],
    models: fleet.models.map((model, index) => ({ ...model, min_ram_gb: index === 0 ? 64 : 32 })),
    observe: "refusals",
    churn: { mean_hours: 12, away_minutes_min: 5, away_minutes_max: 30 },
    load_failures: 0.02,
  };
}

async function resultOf(folder: string, one: Case): Promise<CaseResult> {
  const { family, days, switchMinutes, isRough } = one;
  const path = join(folder, `${nameOf(one)}.json`);
  if (existsSync(path)) return resultSchema.parse(JSON.parse(readFileSync(path, "utf8")));
  const file = readFleetFile(join(import.meta.dirname, `${family}.json`));
  const fleet = { ...(isRough ? roughened(file) : file), switch_seconds: switchMinutes * 60 };
  const scenario = scenarioOf(readTrace(join(folder, `${family}.csv.gz`)), fleet, 1, days);
  const { policies } = await simulate(scenario, [...POLICY_NAMES, ...EXTRA_POLICY_NAMES]);
  const metrics = Object.fromEntries(
    Object.entries(policies).map(([name, policy]) => [name, policy.metrics]),
  );
  writeFileSync(path, JSON.stringify(metrics, null, 1));
  console.error(path);
  return resultSchema.parse(metrics);
}

function nameOf({ family, days, switchMinutes, isRough }: Case): string {
  return `${family}-${switchMinutes}min-days-${days.first}-${days.last}${isRough ? "-rough" : ""}`;
}

const HEAD = [
  "family, switch",
  "policy",
  "M1",
  "M2",
  "M3 mean",
  "worst",
  "back %",
  "M4 worst (mean)",
  "M5",
  "M6 %",
  "M7",
];

function rowsOf({ family, switchMinutes }: Case, result: CaseResult): string[] {
  return Object.entries(result).map(([policy, metrics], index) =>
    row([
      index === 0 ? `${family}, ${switchMinutes} min` : "",
      policy,
      shown(metrics.m1, 4),
      shown(metrics.m2, 2),
      shown(metrics.m3_mean, 2),
      shown(metrics.m3_worst, 1),
      shown(metrics.m3_back === null ? null : metrics.m3_back * 100, 1),
      `${shown(metrics.m4_minutes, 0)} (${shown(metrics.m4_mean, 1)})`,
      shown(metrics.m5_worst, 3),
      shown(metrics.m6 * 100, 2),
      String(metrics.m7),
    ]),
  );
}

function row(cells: readonly string[]): string {
  return `| ${cells.join(" | ")} |`;
}

function shown(value: number | null, digits: number): string {
  return value === null ? "-" : value.toFixed(digits);
}

async function main(folder: string, part: string): Promise<void> {
  mkdirSync(folder, { recursive: true });
  for (const { title, days, isRough, switches } of SECTIONS) {
    console.log(`### ${title}\n\n${row(HEAD)}\n${row(HEAD.map(() => "---"))}`);
    for (const switchMinutes of switches) {
      for (const family of FAMILIES) {
        const one = { family, days, switchMinutes, isRough };
        if (!nameOf(one).includes(part)) continue;
        console.log(rowsOf(one, await resultOf(folder, one)).join("\n"));
      }
    }
    console.log("");
  }
}

const [folder, part = ""] = process.argv.slice(2);
if (folder === undefined) {
  console.error("Usage: node make-tables.ts FOLDER [part of a case's name]");
  process.exitCode = 2;
} else await main(folder, part);
