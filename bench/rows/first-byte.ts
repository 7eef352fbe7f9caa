import type { RowSpec } from "../row.ts";
import { chat, type Target } from "../support/chat.ts";
import { quantile } from "../support/load.ts";
import { ONE_TOKEN } from "../support/work.ts";
import type { Targets } from "../targets.ts";

const MAX_ADDED_MS = 1;
/** The servers take turns: one chat after the other at the one, then at the next. */
const ROUNDS = 5;
const CHATS_PER_ROUND = 60;
/** Of each round, not counted. */
const WARM_UP = 12;
/** One chat at each server in turn, so that each finds its server's caches cold. */
const COLD_CHATS = 100;

/** What each server adds to the time until a stream's first byte, one chat at a time. */
export function firstByte(targets: () => Promise<Targets>): RowSpec {
  return {
    work: "added time to first byte at concurrency 1, p50",
    target: `at most ${MAX_ADDED_MS} ms over calling the mock directly`,
    async run(quick) {
      const { direct, coordinator, bare, portkey, nginx } = await targets();
      await Promise.all([coordinator.growTo(1), bare.growTo(1)]);
      const servers = [coordinator.target, bare.target, portkey, ...(nginx === null ? [] : [nginx])];
      const warm = await inRounds([direct, ...servers], quick ? 2 : ROUNDS, CHATS_PER_ROUND, WARM_UP);
      const cold = await inRounds([direct, ...servers], quick ? COLD_CHATS / 4 : COLD_CHATS, 1, 0);
      const added = (times: Times, server: Target): number => median(times, server) - median(times, direct);
      const each = (times: Times): string =>
        servers.map((server) => `${server.name} ${added(times, server).toFixed(2)} ms`).join(", ");
      return {
        reached: `${each(warm)} (the mock itself ${median(warm, direct).toFixed(2)} ms); with other servers at work between any two chats ${each(cold)} (${median(cold, direct).toFixed(2)} ms)`,
        met: added(warm, coordinator.target) <= MAX_ADDED_MS,
      };
    },
  };
}

/** Until the first byte, in milliseconds. */
type Times = ReadonlyMap<Target, readonly number[]>;

async function inRounds(
  targets: readonly Target[],
  rounds: number,
  chats: number,
  warmUp: number,
): Promise<Times> {
  const times = new Map<Target, number[]>(targets.map((target) => [target, []]));
  for (let round = 0; round < rounds; round++) {
    for (const [target, list] of times) {
      for (let at = 0; at < chats; at++) {
        const { firstByteMs } = await chat(target, ONE_TOKEN);
        if (at >= warmUp) list.push(firstByteMs);
      }
    }
  }
  return times;
}

function median(times: Times, target: Target): number {
  return quantile(times.get(target) ?? [], 0.5);
}
