import { setTimeout as sleep } from "node:timers/promises";

import { USAGE_FLUSH_INTERVAL_MS } from "../../core/limits.ts";
import { chat } from "../support/chat.ts";
import { Coordinator } from "../support/coordinator.ts";
import { promptOf, startRealProvider } from "../support/real-provider.ts";
import { PACED } from "../support/work.ts";
import { countedBetween, METERED_MAIN, readMeter } from "./meter.ts";
import type { Units } from "./month.ts";

/** Counts what one chat, one tick and one idle machine take, with the provider's own agent. */

export const MEASURED = { tokens: PACED.tokens, tokensPerSecond: 50, streams: 4 } as const;

const IDLE_MS = 125_000;
const BUSY_MS = 60_000;

export async function measureUnits(): Promise<Units> {
  const coordinator = await Coordinator.start(METERED_MAIN);
  const { target } = coordinator;
  const provider = await startRealProvider(coordinator, MEASURED.streams, MEASURED.tokensPerSecond);
  const ask = () => chat(target, PACED, { prompt: promptOf(PACED.tokens) });
  // Only what is asked for has ticks, and the flush after it belongs to it.
  await ask();
  await sleep(2 * USAGE_FLUSH_INTERVAL_MS);
  const idle = await countWhile(target.url, () => sleep(IDLE_MS));
  let chats = 0;
  const startedAt = performance.now();
  const busy = await countWhile(target.url, async () => {
    const until = Date.now() + BUSY_MS;
    const asking = Array.from({ length: MEASURED.streams }, async () => {
      for (; Date.now() < until; chats++) await ask();
    });
    await Promise.all(asking);
  });
  const busyS = (performance.now() - startedAt) / 1000;
  provider.abort();
  await coordinator.stop();
  const ticks = idle("fleet.alarms");
  if (ticks === 0) throw new Error("the fleet has not looked at its pools");
  const messagesPerMinute = (idle("pool.messages") * 60_000) / IDLE_MS;
  const callsOfTicks = busy("fleet.alarms");
  return {
    chat: {
      poolCalls: (busy("pool.requests") - callsOfTicks) / chats,
      messages: (busy("pool.messages") - (messagesPerMinute * busyS) / 60) / chats,
      seconds: (busyS * MEASURED.streams) / chats,
    },
    tick: {
      kvReads: idle("kv.reads") / ticks,
      fleetRows: busy("fleet.rowsWritten") / Math.max(1, busy("fleet.alarms")),
    },
    rowsPerFlush: (busy("pool.rowsWritten") * USAGE_FLUSH_INTERVAL_MS) / 1000 / busyS,
    messagesPerMinute,
  };
}

async function countWhile(url: string, run: () => Promise<void>): Promise<(name: string) => number> {
  const before = await readMeter(url);
  await run();
  return countedBetween(before, await readMeter(url));
}
