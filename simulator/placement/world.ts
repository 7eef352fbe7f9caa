import { type DoneMove, Machines } from "./machines.ts";
import type { Policy } from "./policy.ts";
import type { Scenario } from "./scenario.ts";

/**
 * Replays the demand minute by minute through one policy. Within a minute demand is a fluid: a model with n ready
 * machine units and demand d serves min(n, d) and refuses the rest.
 */
export interface Replay {
  readonly ready: readonly (readonly number[])[];
  readonly moves: readonly DoneMove[];
}

/** With `refusals`, this part of the refused requests comes back in the next minute, once. */
const RETRIED = 0.5;

export function replay(scenario: Scenario, placement: readonly number[], policy: Policy): Replay {
  const machines = new Machines(scenario, placement);
  const ready: number[][] = [];
  let refused = scenario.models.map(() => 0);
  let observed: number[] = [];
  for (const [minute, demand] of scenario.demand.entries()) {
    machines.advance(minute);
    if (minute > 0) machines.order(policy.decide({ minute, observed, machines: machines.views() }), minute);
    const serving = machines.ready();
    ready.push(serving);
    observed = demand.map((wanted, model) => seen(scenario, wanted, refused[model] ?? 0));
    refused = demand.map((wanted, model) => Math.max(0, wanted - (serving[model] ?? 0)));
  }
  return { ready, moves: machines.moves };
}

function seen(scenario: Scenario, demand: number, refusedBefore: number): number {
  if (scenario.observe === "perfect") return demand;
  const arrivals = (demand + RETRIED * refusedBefore) * scenario.requestsPerMinute;
  return Math.round(arrivals) / scenario.requestsPerMinute;
}
