import { ownValue } from "../own-value.ts";
import { requestsPerSecond } from "./kinds.ts";
import type { PlacementConfig, PlacementInput, PlacementMachine, PlacementState } from "./types.ts";

/**
 * For how many requests of a tick there could have been room at most, had every machine held the right model all the time, parts of
 * one model and parts of another included, and had no load cost anything. No planner reaches it; how near it comes is what is
 * left to win.
 *
 * It is a linear program, and any prices of the models bound it from above: if a served request of model k is worth p_k, from 0 to
 * 1, each machine serves at best what pays most, and the rest of a request's worth is given away. So prices need not be exact to
 * be right, only to be tight: some steps downhill find good ones, and the lowest bound on the way counts.
 */
export function mostRoom(
  input: PlacementInput,
  { estimates }: PlacementState,
  config: PlacementConfig,
): number {
  const asked = input.demand.filter(({ offered }) => offered > 0);
  const rooms = input.machines.flatMap((machine) => {
    const room = asked.map(({ modelId }) => {
      const fit = mayHold(machine, modelId) ? ownValue(machine.fits, modelId) : undefined;
      const estimate = ownValue(estimates, modelId);
      if (fit === undefined || estimate === undefined) return 0;
      return requestsPerSecond(fit, estimate, config) * input.elapsedSeconds;
    });
    return room.some((requests) => requests > 0) ? [room] : [];
  });
  return lowestBound(
    asked.map(({ offered }) => offered),
    rooms,
  );
}

const AWAY: ReadonlySet<PlacementMachine["state"]> = new Set(["offline", "not_routable", "cordoned"]);

/** One that may not be moved serves what it holds. */
function mayHold({ state, isPinned, isManageable, model }: PlacementMachine, modelId: string): boolean {
  return !AWAY.has(state) && ((isManageable && !isPinned) || model === modelId);
}

/** Found on fleets of a few kinds: within 2 % of the optimum as a rule. */
const STEPS = 120;

/** @param rooms of each machine, requests of each model. */
function lowestBound(offered: readonly number[], rooms: readonly (readonly number[])[]): number {
  const total = sum(offered);
  if (total === 0) return 0;
  // All prices 0: there is room for everything.
  let lowest = total;
  // How much of a model there may be too much or too little of, so that small models are not passed over.
  const scales = offered.map((requests, index) => sum(rooms.map((room) => room[index] ?? 0)) + requests);
  let prices = offered.map(() => 1);
  let mean = prices;
  for (let step = 1; step <= STEPS; step++) {
    const { bound, sold } = atPrices(prices, offered, rooms);
    lowest = Math.min(lowest, bound);
    if (step % 4 === 0) lowest = Math.min(lowest, atPrices(mean, offered, rooms).bound);
    // Where machines would serve more than was asked for, the price is too high.
    prices = prices.map((price, index) => {
      const surplus = ((sold[index] ?? 0) - (offered[index] ?? 0)) / (scales[index] ?? 1);
      return Math.min(1, Math.max(0, price - surplus / Math.sqrt(step)));
    });
    // Prices swing around what they should be; what lies in the middle of the late ones is nearer to it.
    mean = mean.map((price, index) => price + (2 / (step + 1)) * ((prices[index] ?? 0) - price));
  }
  return lowest;
}

function atPrices(
  prices: readonly number[],
  offered: readonly number[],
  rooms: readonly (readonly number[])[],
): { bound: number; sold: number[] } {
  let bound = sum(prices.map((price, index) => (1 - price) * (offered[index] ?? 0)));
  const sold = prices.map(() => 0);
  for (const room of rooms) {
    let [best, worth] = [0, -1];
    for (const [index, requests] of room.entries()) {
      const pays = requests * (prices[index] ?? 0);
      if (pays > worth) [best, worth] = [index, pays];
    }
    bound += Math.max(0, worth);
    sold[best] = (sold[best] ?? 0) + (room[best] ?? 0);
  }
  return { bound, sold };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
