import { accessSync, constants, existsSync, statSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { parseArgs } from "node:util";

import { BadInput } from "./bad-input.ts";
import { readFleetFile } from "./fleet-file.ts";
import { reportHtml } from "./report-html.ts";
import { reportText } from "./report-text.ts";
import { type Days, type Scenario, scenarioOf, type Window } from "./scenario.ts";
import { EXTRA_POLICY_NAMES, POLICY_NAMES, type PolicyName, simulate } from "./simulate.ts";
import { readTrace, type Trace } from "./trace.ts";

/** The command `npm run simulate`: replays a demand trace and compares placement policies (docs/simulate.md). */

const USAGE = `npm run simulate -- --trace FILE --fleet FILE
  [--policies a,b]  some of ${POLICY_NAMES.join(", ")} (all of these),
                    ${EXTRA_POLICY_NAMES.join(", ")}
  [--days A-B]      only these days of the trace, counted from 0; demand is scaled over the whole trace
  [--seed N]        for churn, load failures and mass disconnects (1)
  [--requests A-B]  route every request one by one in these minutes of the replay (default: some ten)
  [--json FILE] [--html FILE]

docs/simulate.md describes the files and the metrics.`;

interface Options {
  readonly trace: string;
  readonly fleet: string;
  readonly policies: readonly PolicyName[];
  readonly days: Days | undefined;
  readonly seed: number;
  readonly requests: Window | undefined;
  readonly json: string | undefined;
  readonly html: string | undefined;
}

function optionsOf(args: readonly string[]): Options {
  const text = { type: "string" } as const;
  const options = {
    trace: text,
    fleet: text,
    policies: text,
    days: text,
    seed: text,
    requests: text,
    json: text,
    html: text,
  };
  let values: Partial<Record<keyof typeof options, string>>;
  try {
    ({ values } = parseArgs({ args: [...args], options, allowPositionals: false }));
  } catch (error) {
    throw new BadInput(`${error instanceof Error ? error.message : "Unknown options."}\n\n${USAGE}`);
  }
  const { trace, fleet, json, html } = values;
  if (trace === undefined || fleet === undefined)
    throw new BadInput(`--trace and --fleet are needed.\n\n${USAGE}`);
  const seed = Number(values.seed ?? "1");
  if (!Number.isSafeInteger(seed) || seed < 0 || values.seed === "")
    throw new BadInput(`--seed ${values.seed} is not a whole number.`);
  return {
    trace,
    fleet,
    policies: policiesOf(values.policies),
    days: rangeOf(values.days, "--days"),
    seed,
    requests: rangeOf(values.requests, "--requests"),
    json,
    html,
  };
}

function policiesOf(list: string | undefined): readonly PolicyName[] {
  if (list === undefined) return POLICY_NAMES;
  const named = list.split(",").map((given) => {
    const names = [...POLICY_NAMES, ...EXTRA_POLICY_NAMES];
    const name = names.find((one) => one === given.trim());
    if (!name) throw new BadInput(`--policies: "${given.trim()}" is none of ${names.join(", ")}.`);
    return name;
  });
  return [...new Set(named)];
}

function rangeOf(range: string | undefined, option: string): Days | undefined {
  if (range === undefined) return undefined;
  const [, first, last] = /^(\d+)-(\d+)$/.exec(range) ?? [];
  if (first === undefined || last === undefined || Number(first) > Number(last)) {
    throw new BadInput(`${option} ${range} is not a range such as 0-4.`);
  }
  return { first: Number(first), last: Number(last) };
}

/** Checked before the simulation, which may take minutes. */
function checkWritable(path: string): void {
  try {
    if (existsSync(path) && statSync(path).isDirectory()) throw new Error("it is a directory");
    accessSync(existsSync(path) ? path : dirname(path), constants.W_OK);
  } catch (error) {
    throw new BadInput(`${path} cannot be written: ${error instanceof Error ? error.message : "?"}.`);
  }
}

function write(path: string, text: string): void {
  try {
    writeFileSync(path, text);
  } catch (error) {
    throw new BadInput(`${path} cannot be written: ${error instanceof Error ? error.message : "?"}.`);
  }
}

/**
 * Runs the command.
 * @param print takes the report.
 * @throws BadInput for options or files that cannot be used, before anything is simulated.
 */
export async function runSimulate(args: readonly string[], print: (text: string) => void): Promise<void> {
  if (args.includes("--help") || args.includes("-h")) {
    print(USAGE);
    return;
  }
  const { trace, fleet, policies, days, seed, requests, json, html } = optionsOf(args);
  for (const path of [json, html]) if (path !== undefined) checkWritable(path);
  const started = performance.now();
  const read = readTrace(trace);
  const scenario = scenarioOf(read, readFleetFile(fleet), seed, days);
  const last = scenario.demand.length - 1;
  if (requests !== undefined && requests.first > last)
    throw new BadInput(`--requests: the replay has only the minutes 0 to ${last}.`);
  const window = requests && { ...requests, last: Math.min(requests.last, last) };
  const result = await simulate(scenario, policies, window);
  print(
    `${scenario.machines.length} machines, ${scenario.models.length} models, ${scenario.demand.length} minutes, ` +
      `switch ${scenario.switchMinutes} min, seed ${seed}\n${leftOut(read, scenario)}\n${reportText(result)}`,
  );
  if (json !== undefined) write(json, JSON.stringify(result));
  if (html !== undefined) write(html, reportHtml(result, { trace, fleet }));
  print(`${((performance.now() - started) / 1000).toFixed(1)} s elapsed`);
}

/** What the trace has that the fleet file does not name, as a line; empty if it names all. */
function leftOut({ models, counts }: Trace, scenario: Scenario): string {
  const named = new Set(scenario.models.map(({ id }) => id));
  const others = models.filter((model) => !named.has(model));
  if (others.length === 0) return "";
  let [sum, ofOthers] = [0, 0];
  for (const row of counts) {
    for (const [column, n] of row.entries()) {
      sum += n;
      if (!named.has(models[column] ?? "")) ofOthers += n;
    }
  }
  const percent = ((100 * ofOthers) / sum).toFixed(1);
  return `left out, since the fleet file does not name them: ${others.join(", ")} (${percent} % of all requests)\n`;
}
