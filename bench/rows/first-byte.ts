import type { RowSpec } from "../row.ts";
import { chat, type Target } from "../support/chat.ts";
import { quantile } from "../support/load.ts";
import { ONE_TOKEN } from "../support/work.ts";
import type { Targets } from "../targets.ts";

const MAX_ADDED_MS = 1;
const CHATS = 300;

/** What each server adds to the time until a stream's first byte, one chat at a time. */
export function firstByte(targets: () => Promise<Targets>): RowSpec {
  return {
    work: "added time to first byte at concurrency 1, p50",
    target: `at most ${MAX_ADDED_MS} ms over calling the mock directly`,
    async run(quick) {
      const { direct, coordinator, portkey, nginx } = await targets();
      await coordinator.growTo(1);
      const compared = [direct, coordinator.target, portkey, ...(nginx === null ? [] : [nginx])];
      const times = new Map<Target, number[]>(compared.map((target) => [target, []]));
      const chats = quick ? CHATS / 3 : CHATS;
      for (let i = 0; i < chats; i++) {
        for (const [target, list] of times) list.push((await chat(target, ONE_TOKEN)).firstByteMs);
      }
      // The first fifth warms up.
      const median = (target: Target): number => quantile(times.get(target)?.slice(chats / 5) ?? [], 0.5);
      const added = (target: Target): number => median(target) - median(direct);
      const others = [portkey, ...(nginx === null ? [] : [nginx])].map(
        (target) => `${target.name} ${added(target).toFixed(2)} ms`,
      );
      return {
        reached: `${added(coordinator.target).toFixed(2)} ms (${others.join(", ")}; the mock itself ${median(direct).toFixed(2)} ms)`,
        met: added(coordinator.target) <= MAX_ADDED_MS,
      };
    },
  };
}
