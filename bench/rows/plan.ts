import { DEFAULT_PLACEMENT_CONFIG, EMPTY_PLACEMENT_STATE } from "../../core/placement/config.ts";
import { plan as placementPlan } from "../../core/placement/plan.ts";
import { aFleet, KINDS } from "../placement/fleets.ts";
import { plainGreedy } from "../placement/plain-greedy.ts";
import type { RowSpec } from "../row.ts";

/** CPU time of one plan of placement, beside a plain greedy planner on the same input, taking turns. */

const MOVES = 16;
const ROUNDS = 15;
/** Rounds that only warm the code up. */
const WARM_UP = 10;
const SIZES = [
  { machines: 100, models: 10, maxMs: null },
  { machines: 1000, models: 10, maxMs: 10 },
  { machines: 10_000, models: 50, maxMs: 100 },
] as const;

export const plan: RowSpec = {
  work: `CPU time of one plan of placement with up to ${MOVES} moves, the least of ${ROUNDS}, beside a plain floor-then-priority greedy on the same input`,
  target: "1,000 machines x 10 models at most 10 ms, 10,000 x 50 at most 100 ms, growth near linear",
  run(quick) {
    const parts: string[] = [];
    let met = true;
    for (const isEachOwn of [false, true]) {
      const perPair: number[] = [];
      const cells = SIZES.map(({ machines, models, maxMs }) => {
        const { oursMs, plainMs } = timed(machines, models, isEachOwn, quick ? 5 : ROUNDS);
        if (maxMs !== null && oursMs > maxMs) met = false;
        perPair.push((oursMs * 1e6) / (machines * models));
        const size = `${machines.toLocaleString("en")} x ${models}`;
        return `${size} ${shown(oursMs)} ms (${(oursMs / plainMs).toFixed(1)} x the greedy's ${shown(plainMs)} ms)`;
      });
      const kinds = isEachOwn ? "each machine of its own speed" : `${KINDS} kinds of machines`;
      const growth = perPair.map((ns) => ns.toFixed(0)).join(", ");
      parts.push(`${kinds}: ${cells.join(", ")}; ${growth} ns per machine and model`);
    }
    return Promise.resolve({ reached: parts.join(". "), met });
  },
};

function timed(
  machines: number,
  models: number,
  isEachOwn: boolean,
  rounds: number,
): { oursMs: number; plainMs: number } {
  const input = aFleet(machines, models, isEachOwn);
  const config = { ...DEFAULT_PLACEMENT_CONFIG, maxLoadsPerTick: MOVES, maxPendingLoads: MOVES };
  const ours: number[] = [];
  const plain: number[] = [];
  for (let round = 0; round < WARM_UP + rounds; round += 1) {
    ours.push(msOf(() => placementPlan(EMPTY_PLACEMENT_STATE, input, config).moves.length));
    plain.push(msOf(() => plainGreedy(input, MOVES).length));
  }
  return { oursMs: Math.min(...ours.slice(WARM_UP)), plainMs: Math.min(...plain.slice(WARM_UP)) };
}

function msOf(work: () => number): number {
  const start = process.cpuUsage();
  const moves = work();
  const { user, system } = process.cpuUsage(start);
  if (moves * 2 < MOVES) throw new Error(`only ${moves} moves, so the time says little`);
  return (user + system) / 1000;
}

function shown(ms: number): string {
  return ms < 10 ? ms.toFixed(2) : ms.toFixed(0);
}
