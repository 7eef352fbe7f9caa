import type { RowSpec } from "../row.ts";
import { Coordinator } from "../support/coordinator.ts";
import { CHAT_ROW, measure, newTotal, perUnit, type Total } from "./compare.ts";

/** What a chat costs in a small pool and in a large one: a machine must be found without a look at each. */

const MACHINES = [8, 100, 2000];
const ROUNDS = 3;
const MAX_GROWTH = 1.3;

interface Pool {
  readonly coordinator: Coordinator;
  readonly total: Total;
}

export const machines: RowSpec = {
  work: `CPU of a non-stream chat in a pool of ${MACHINES.map((count) => count.toLocaleString("en")).join(", ")} machines`,
  target: `in the largest at most ${MAX_GROWTH} times that in the smallest`,
  async run(quick) {
    const pools: Pool[] = [];
    for (const count of MACHINES) {
      const coordinator = await Coordinator.start();
      await coordinator.growTo(count);
      pools.push({ coordinator, total: newTotal() });
    }
    for (let round = 0; round < (quick ? 1 : ROUNDS); round++) {
      for (const { coordinator, total } of pools) await measure(coordinator.target, CHAT_ROW, total, quick);
    }
    await Promise.all(pools.map(({ coordinator }) => coordinator.stop()));
    const costs = pools.map(({ total }) => perUnit(total));
    const growth = (costs.at(-1) ?? Number.NaN) / (costs[0] ?? Number.NaN);
    return {
      reached: `${costs.map((cost) => cost.toFixed(1)).join(", ")} µs: ${growth.toFixed(2)} times`,
      met: growth <= MAX_GROWTH,
    };
  },
};
