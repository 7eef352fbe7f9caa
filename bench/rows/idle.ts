import { setTimeout as sleep } from "node:timers/promises";

import type { RowSpec } from "../row.ts";
import { chat } from "../support/chat.ts";
import { Coordinator } from "../support/coordinator.ts";
import { CHAT } from "../support/work.ts";

/** How many sleeping sockets a pool holds, and how fast it answers when it is woken with them. */

const SOCKETS = 9500;
const MAX_COLD_MS = 100;
const COLD_ANSWERS = 2;
/**
 * A pool hibernates 10 s after its last event. After an answer that event is the counters' flush, 10 s later; and
 * the fleet wakes it every 30 s. So a chat is sent after each of these times until enough have found it asleep.
 */
const WAITS_MS = [13_000, 22_000, 24_000, 26_000, 28_000];

export const idle: RowSpec = {
  work: "idle machine sockets in one pool; first answer after hibernation with them",
  target: `9,500; at most ${MAX_COLD_MS} ms`,
  async run(quick) {
    const coordinator = await Coordinator.start();
    const { target } = coordinator;
    const startedAt = performance.now();
    await coordinator.growTo(quick ? SOCKETS / 10 : SOCKETS);
    const dialedS = (performance.now() - startedAt) / 1000;
    const coldMs: number[] = [];
    let warmMs = 0;
    for (const wait of WAITS_MS) {
      await sleep(wait);
      const lives = coordinator.poolLives;
      const first = await chat(target, CHAT);
      warmMs = (await chat(target, CHAT)).totalMs;
      if (coordinator.poolLives > lives) coldMs.push(first.totalMs);
      if (coldMs.length === (quick ? 1 : COLD_ANSWERS)) break;
    }
    const { machines } = coordinator;
    await coordinator.stop();
    if (coldMs.length === 0) throw new Error("the pool never hibernated");
    const cold = coldMs.map((ms) => `${ms.toFixed(0)} ms`).join(" and ");
    return {
      reached: `${machines} (dialed in ${dialedS.toFixed(0)} s); ${cold}, the pool's constructor having run again (an answer after that ${warmMs.toFixed(0)} ms)`,
      met: machines >= SOCKETS && Math.max(...coldMs) <= MAX_COLD_MS,
    };
  },
};
