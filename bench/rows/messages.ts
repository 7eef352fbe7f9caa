import { setTimeout as sleep } from "node:timers/promises";

import type { RowSpec } from "../row.ts";
import { chat } from "../support/chat.ts";
import { Coordinator } from "../support/coordinator.ts";
import { startRealProvider } from "../support/real-provider.ts";

/** What a real machine sends while it generates; each message is an event that the pool is billed for. */

const STREAMS = 4;
const TOKENS_PER_SECOND = 50;
const TOKENS = 200;
const MAX_PER_100_TOKENS = 15;

export const messages: RowSpec = {
  work: "messages on the provider socket per 100 generated tokens at 50 tokens/s, 4 streams on one machine",
  target: `at most ${MAX_PER_100_TOKENS}`,
  async run() {
    const coordinator = await Coordinator.start();
    const provider = await startRealProvider(coordinator, STREAMS, TOKENS_PER_SECOND);
    const before = provider.sent();
    const startedAt = performance.now();
    await Promise.all(
      Array.from({ length: STREAMS }, async () => {
        await sleep(Math.random() * 1000);
        await chat(coordinator.target, { words: TOKENS });
      }),
    );
    const per100 = ((provider.sent() - before) * 100) / (STREAMS * TOKENS);
    provider.abort();
    await coordinator.stop();
    return {
      reached: `${per100.toFixed(1)}`,
      met: per100 <= MAX_PER_100_TOKENS,
    };
  },
};
