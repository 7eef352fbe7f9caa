import { ownValue } from "../own-value.ts";
import { requestsPerSecond } from "./kinds.ts";
import type { PlacementConfig, PlacementInput, PlacementMachine, PlacementState } from "./types.ts";

/**
 * An upper bound of the requests of a tick that there could have been room for, had every machine held the right model all the
 * time, parts of several included, and had loads cost nothing. No planner reaches it; the distance to it is what is left to
 * gain.
 *
 * The optimum is a linear program, which any prices of the models bound from above (duality): if a served request of model k is
 * worth p_k, from 0 to 1, each machine serves at best what pays most, and the rest of each request's worth is added. So prices
 * need not be exact for the bound to hold, only for it to be tight: subgradient steps find good ones, and the lowest bound on
 * the way counts.
 *
 * @param served what there was room for: a bound that is close enough to it ends the search.
 */
export function mostRoom(
  input: PlacementInput,
  { estimates }: PlacementState,
  config: PlacementConfig,
  served: number,
): number {
  const asked = input.demand.filter(({ offered }) => offered > 0);
  const offered = asked.map((model) => model.offered);
  const total = sum(offered);
  if (served >= NEAR * total) return total;
  const rooms: number[] = [];
  for (const machine of input.machines) {
    for (const { modelId } of asked) {
      const fit = mayHold(machine, modelId) ? ownValue(machine.fits, modelId) : undefined;
      const estimate = ownValue(estimates, modelId);
      const isAble = fit !== undefined && estimate !== undefined;
      rooms.push(isAble ? requestsPerSecond(fit, estimate, config) * input.elapsedSeconds : 0);
    }
  }
  return lowestBound(offered, Float64Array.from(rooms), served);
}

const AWAY: ReadonlySet<PlacementMachine["state"]> = new Set(["offline", "not_routable", "cordoned"]);

/** One that may not be moved serves what it holds. */
function mayHold({ state, isPinned, isManageable, model }: PlacementMachine, modelId: string): boolean {
  return !AWAY.has(state) && ((isManageable && !isPinned) || model === modelId);
}

/** As a share of the bound: it is shown with one decimal of a percent. */
const NEAR = 0.9995;

/** Found on fleets of a few kinds: within 2 % of the optimum as a rule. */
const STEPS = 120;
/** Limits the steps in a large fleet, so that a tick stays short: one step visits each pair of machine and model. */
const LOOKS_MAX = 2_000_000;
const LEAST_STEPS = 8;

/** @param rooms requests that each machine has room for, all models of one machine after those of another. */
function lowestBound(offered: readonly number[], rooms: Float64Array, served: number): number {
  // All prices 0: there is room for everything.
  let lowest = sum(offered);
  // The largest possible surplus or shortage of each model, by which its steps are scaled, so that small models are not
  // neglected.
  const scales = [...offered];
  for (let at = 0; at < rooms.length; at++) {
    const model = at % offered.length;
    scales[model] = (scales[model] ?? 0) + (rooms[at] ?? 0);
  }
  let prices = offered.map(() => 1);
  let mean = prices;
  const steps = Math.max(LEAST_STEPS, Math.min(STEPS, LOOKS_MAX / Math.max(1, rooms.length)));
  for (let step = 1; step <= steps && served < NEAR * lowest; step++) {
    const { bound, sold } = atPrices(prices, offered, rooms);
    lowest = Math.min(lowest, bound);
    if (step % 4 === 0) lowest = Math.min(lowest, atPrices(mean, offered, rooms).bound);
    // Where machines would serve more than was asked for, the price is too high.
    prices = prices.map((price, index) => {
      const surplus = ((sold[index] ?? 0) - (offered[index] ?? 0)) / (scales[index] ?? 1);
      return Math.min(1, Math.max(0, price - surplus / Math.sqrt(step)));
    });
    // Prices oscillate around the optimum; a weighted mean of the late ones is nearer to it.
    mean = mean.map((price, index) => price + (2 / (step + 1)) * ((prices[index] ?? 0) - price));
  }
  return lowest;
}

function atPrices(
  prices: readonly number[],
  offered: readonly number[],
  rooms: Float64Array,
): { bound: number; sold: number[] } {
  let bound = sum(prices.map((price, index) => (1 - price) * (offered[index] ?? 0)));
  const sold = prices.map(() => 0);
  const models = prices.length;
  for (let at = 0; at < rooms.length; at += models) {
    let best = 0;
    let worth = 0;
    for (let index = 0; index < models; index++) {
      const pays = (rooms[at + index] ?? 0) * (prices[index] ?? 0);
      if (pays <= worth) continue;
      best = index;
      worth = pays;
    }
    bound += worth;
    if (worth > 0) sold[best] = (sold[best] ?? 0) + (rooms[at + best] ?? 0);
  }
  return { bound, sold };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
