import { firstPlacement } from "./first-placement.ts";
import type { DoneMove } from "./machines.ts";
import { type Metrics, metricsOf, type Table } from "./metrics.ts";
import { optimumOf } from "./optimum.ts";
import { bestStaticPlacement, staysAt } from "./policies/best-static.ts";
import { ewma } from "./policies/ewma.ts";
import { greedy } from "./policies/greedy.ts";
import { marginalValue } from "./policies/marginal-value.ts";
import { ours } from "./policies/ours.ts";
import { proportional } from "./policies/proportional.ts";
import type { PolicyMaker } from "./policy.ts";
import type { Scenario } from "./scenario.ts";
import { replay } from "./world.ts";

/** Runs the policies over one scenario, and the optimum and the best static placement they are judged by. */
export const POLICY_NAMES = ["ours", "best-static", "proportional", "greedy", "ewma", "optimum"] as const;

/** Further policies, run only when asked for: `gain` is a simpler marginal-value rule to hold the planner against. */
export const EXTRA_POLICY_NAMES = ["gain"] as const;
export type PolicyName = (typeof POLICY_NAMES)[number] | (typeof EXTRA_POLICY_NAMES)[number];

const ONLINE: Readonly<Record<Exclude<PolicyName, "best-static" | "optimum">, PolicyMaker>> = {
  ours,
  proportional,
  greedy,
  ewma,
  gain: marginalValue,
};

/** The same shape as in the JSON file; times are in seconds of the trace, the rest in machine units. */
export interface Series {
  readonly t_s: readonly number[];
  readonly models: readonly string[];
  readonly demand: Table;
  readonly ready: Table;
  readonly moves: readonly (readonly [t_s: number, machine: string, from: string | null, to: string])[];
}

export interface PolicyResult {
  readonly metrics: Metrics;
  readonly series: Series;
}

export interface Result {
  readonly policies: Readonly<Partial<Record<PolicyName, PolicyResult>>>;
  readonly notes: readonly string[];
}

export async function simulate(scenario: Scenario, names: readonly PolicyName[]): Promise<Result> {
  const optimum = await optimumOf(scenario, false);
  if (!optimum) throw new Error("the optimum's linear program has no solution");
  const withFloors = await optimumOf(scenario, true);
  const placement = bestStaticPlacement(scenario);
  const still = replay(scenario, placement, staysAt(placement)(scenario));
  const yardsticks = { optimum: optimum.ready, bestStatic: still.ready, withFloors: withFloors?.ready };
  const policies: Partial<Record<PolicyName, PolicyResult>> = {};
  for (const name of names) {
    const run =
      name === "optimum"
        ? optimum
        : name === "best-static"
          ? still
          : replay(scenario, firstPlacement(scenario), ONLINE[name](scenario));
    const switches = name === "optimum" && !optimum.wholeMachines ? optimum.switches : undefined;
    const metrics = metricsOf(scenario, run.ready, run.moves, yardsticks, switches);
    policies[name] = { metrics, series: seriesOf(scenario, run) };
  }
  return { policies, notes: notesOf(optimum.wholeMachines, withFloors !== undefined) };
}

function notesOf(wholeMachines: boolean, hasFloors: boolean): string[] {
  const notes = ["M7 is 0 by construction: within a minute demand is a fluid, no single request is routed."];
  if (!wholeMachines) {
    notes.push(
      "Several kinds of machines: the optimum may split machines (an upper bound) and names no moves.",
    );
  }
  if (!hasFloors) notes.push("The floors cannot all be kept (outages): M5 is not measured.");
  return notes;
}

function seriesOf(scenario: Scenario, run: { ready: Table; moves: readonly DoneMove[] }): Series {
  const { models, machines, demand, start_s } = scenario;
  const id = (model: number) => models[model]?.id ?? "";
  return {
    t_s: demand.map((_, minute) => start_s + minute * 60),
    models: models.map((model) => model.id),
    demand,
    ready: run.ready,
    moves: run.moves.map(({ minute, machine, from, to }) => [
      start_s + minute * 60,
      machines[machine]?.name ?? "",
      from === null ? null : id(from),
      id(to),
    ]),
  };
}
