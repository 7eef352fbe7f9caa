import { firstPlacement } from "./first-placement.ts";
import { type Metrics, metricsOf, stepsOf, sum, type Table } from "./metrics.ts";
import { type Optimum, optimumOf } from "./optimum.ts";
import { bestStaticPlacement, staysAt } from "./policies/best-static.ts";
import { ewma } from "./policies/ewma.ts";
import { gain } from "./policies/gain.ts";
import { greedy } from "./policies/greedy.ts";
import { proportional } from "./policies/proportional.ts";
import type { PolicyMaker } from "./policy.ts";
import type { Scenario, Window } from "./scenario.ts";
import { type Replay, replay } from "./world.ts";

/** Runs the policies over one scenario, and the optimum and the best static placement they are judged by. */
export const POLICY_NAMES = ["ours", "best-static", "proportional", "greedy", "ewma", "optimum"] as const;

/**
 * Further policies, run only when asked for: `gain` is a simpler marginal-value rule to hold the planner against, `optimum-floors` the
 * optimum under the floors, which bounds what a policy that keeps them can reach.
 */
export const EXTRA_POLICY_NAMES = ["gain", "optimum-floors"] as const;
export type PolicyName = (typeof POLICY_NAMES)[number] | (typeof EXTRA_POLICY_NAMES)[number];

type OnlineName = Exclude<PolicyName, "ours" | "best-static" | "optimum" | "optimum-floors">;

const ONLINE: Readonly<Record<OnlineName, PolicyMaker>> = {
  proportional,
  greedy,
  ewma,
  gain,
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

/** @param window minutes in which every request is routed one by one; some ten are picked if it is not given. */
export async function simulate(
  scenario: Scenario,
  names: readonly PolicyName[],
  window: Window = pickedWindow(scenario),
): Promise<Result> {
  const optimum = await optimumOf(scenario, false);
  if (!optimum) throw new Error("the optimum's linear program has no solution");
  const withFloors = await optimumOf(scenario, true);
  const placement = bestStaticPlacement(scenario);
  const still = replay(scenario, placement, staysAt(placement)(scenario), window);
  const yardsticks = { optimum: optimum.ready, bestStatic: still.ready, withFloors: withFloors?.ready };
  const policies: Partial<Record<PolicyName, PolicyResult>> = {};
  const outcomes: string[] = [];
  const runOf = (name: PolicyName): Run | undefined => {
    if (name === "optimum") return knownAhead(optimum);
    if (name === "optimum-floors") return withFloors && knownAhead(withFloors);
    if (name === "best-static") return still;
    const decider = name === "ours" ? "enforce" : ONLINE[name](scenario);
    return replay(scenario, firstPlacement(scenario), decider, window);
  };
  for (const name of names) {
    const run = runOf(name);
    // Floors that cannot be kept have no optimum; the notes say so.
    if (run === undefined) continue;
    const metrics = {
      ...metricsOf(scenario, run.ready, run.moves, yardsticks, run.switches),
      m7: run.requests?.falseRefusals ?? 0,
    };
    if (run.requests !== null) outcomes.push(`${name} ${run.requests.served}/${run.requests.refused}`);
    policies[name] = { metrics, series: seriesOf(scenario, run) };
  }
  return { policies, notes: notesOf(optimum.wholeMachines, withFloors !== undefined, window, outcomes) };
}

interface Run extends Pick<Replay, "ready" | "moves" | "requests"> {
  /** Where moves have no names. */
  readonly switches?: number | undefined;
}

function knownAhead({ ready, moves, switches, wholeMachines }: Optimum): Run {
  return { ready, moves, requests: null, switches: wholeMachines ? undefined : switches };
}

/** Enough requests to judge by, few enough for any fleet. */
const PICKED_REQUESTS = 25_000;
const PICKED_MINUTES = 10;

/** From the first step on, when machines switch most; from the middle if there is none. Not where there is no request. */
function pickedWindow(scenario: Scenario): Window {
  const { demand, requestsPerMinute } = scenario;
  const requestsIn = (minute: number): number => sum(demand[minute] ?? []) * requestsPerMinute;
  const middle = Math.floor(demand.length / 2);
  const busiest = demand.reduce(
    (most, _, minute) => (requestsIn(minute) > requestsIn(most) ? minute : most),
    0,
  );
  const first = [...stepsOf(scenario), middle].find((minute) => requestsIn(minute) >= 1) ?? busiest;
  const perMinute = requestsIn(first);
  const minutes = Math.max(1, Math.min(PICKED_MINUTES, Math.floor(PICKED_REQUESTS / Math.max(1, perMinute))));
  return { first, last: Math.min(demand.length, first + minutes) - 1 };
}

function notesOf(
  wholeMachines: boolean,
  hasFloors: boolean,
  { first, last }: Window,
  outcomes: readonly string[],
): string[] {
  const notes: string[] = [];
  if (outcomes.length > 0) {
    notes.push(
      `M7 is counted in minutes ${first} to ${last}, in which every request was routed one by one; answered/refused: ${outcomes.join(", ")}.`,
    );
  }
  if (!wholeMachines) {
    notes.push(
      "Several kinds of machines: the optimum may split machines (an upper bound) and names no moves.",
    );
  }
  if (!hasFloors) {
    notes.push(
      "The floors cannot all be kept at all times (too few machines that fit, or outages): M5 and optimum-floors are not measured.",
    );
  }
  return notes;
}

function seriesOf(scenario: Scenario, run: Run): Series {
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
