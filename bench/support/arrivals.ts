import { setTimeout as sleep } from "node:timers/promises";

/** When clients come that do not wait for each other: so many a second, whatever the server does. */

/** In bursts all of them come in the first half of each second, twice as fast. */
const BURSTS_EVERY_MS = 1000;
const BURST_SHARE = 0.5;

export type Shape = "steady" | "bursts";

export function arrivalsMs(perSecond: number, durationMs: number, shape: Shape): readonly number[] {
  const count = Math.round((perSecond * durationMs) / 1000);
  return Array.from({ length: count }, (_, index) => {
    const at = (index * 1000) / perSecond;
    if (shape === "steady") return at;
    const burst = Math.floor(at / BURSTS_EVERY_MS) * BURSTS_EVERY_MS;
    return burst + (at - burst) * BURST_SHARE;
  });
}

/** Calls `onArrival` at each of these times from now on; returns after the last one. */
export async function arrive(timesMs: readonly number[], onArrival: (index: number) => void): Promise<void> {
  const startedAt = performance.now();
  for (const [index, atMs] of timesMs.entries()) {
    const aheadMs = startedAt + atMs - performance.now();
    if (aheadMs > 1) await sleep(aheadMs);
    onArrival(index);
  }
}
