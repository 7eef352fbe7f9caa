import { setTimeout as sleep } from "node:timers/promises";

import type { RowSpec } from "../row.ts";
import { chat, type Answer } from "../support/chat.ts";
import { SLOTS_PER_MACHINE } from "../support/coordinator.ts";
import { quantile } from "../support/load.ts";
import { cpuMicros } from "../support/processes.ts";
import { PACED, PACED_LONG } from "../support/work.ts";
import type { Targets } from "../targets.ts";

/** How many paced streams one pool keeps up with. */

const TRIED = [800, 1200, 1600];
const ENOUGH = 800;
/** Clients do not come all at once. */
const SPREAD_MS = 2000;
/** The slowest percent of the streams may end this much behind the mock's schedule, the start included. */
const LAG_LIMIT_MS = 500;

export function capacity(targets: () => Promise<Targets>): RowSpec {
  return {
    work: "streams at 50 tokens/s that one pool holds on one core without falling behind",
    target: `at least ${ENOUGH}`,
    async run(quick) {
      const { coordinator } = await targets();
      const { target } = coordinator;
      const work = quick ? PACED : PACED_LONG;
      let held = 0;
      const tried: string[] = [];
      for (const streams of quick ? TRIED.slice(0, 1) : TRIED) {
        await coordinator.growTo(streams / SLOTS_PER_MACHINE);
        const before = { own: process.cpuUsage(), server: cpuMicros(target.pid ?? 0), at: performance.now() };
        const answers = await Promise.all(
          Array.from({ length: streams }, async (_, index): Promise<Answer> => {
            await sleep((index * SPREAD_MS) / streams);
            return chat(target, work);
          }),
        );
        const elapsedMicros = (performance.now() - before.at) * 1000;
        const own = process.cpuUsage(before.own);
        const share = (micros: number): string => `${((100 * micros) / elapsedMicros).toFixed(0)} %`;
        const lagMs = quantile(
          answers.map(({ totalMs }) => totalMs - (work.tokens - 1) * work.intervalMs),
          0.99,
        );
        tried.push(
          `${streams} on ${coordinator.machines} machines: ${lagMs.toFixed(0)} ms, server ` +
            `${share(cpuMicros(target.pid ?? 0) - before.server)} and load generator ${share(own.user + own.system)} busy`,
        );
        if (lagMs > LAG_LIMIT_MS) break;
        held = streams;
      }
      return {
        reached: `${held} (p99 lag at the end of a stream: ${tried.join("; ")})`,
        met: held >= ENOUGH,
      };
    },
  };
}
