import { setTimeout as sleep } from "node:timers/promises";

import type { RowSpec } from "../row.ts";
import { chat } from "../support/chat.ts";
import { Coordinator } from "../support/coordinator.ts";
import { promptOf, startRealProvider } from "../support/real-provider.ts";
import { PACED } from "../support/work.ts";

/** What a real machine sends while it generates; each message is an event that the pool is billed for. */

const STREAMS = 4;
const TOKENS_PER_SECOND = 50;
const MAX_PER_100_TOKENS = 15;
const SPREAD_MS = 1000;

export const messages: RowSpec = {
  work: "messages on the provider socket per 100 generated tokens at 50 tokens/s, 4 streams on one machine",
  target: `at most ${MAX_PER_100_TOKENS}`,
  async run(quick) {
    const coordinator = await Coordinator.start();
    const provider = await startRealProvider(coordinator, STREAMS, TOKENS_PER_SECOND);
    const before = provider.sent();
    const chatsPerStream = quick ? 1 : 2;
    const answers = await Promise.all(
      Array.from({ length: STREAMS }, async (_, index) => {
        await sleep((index * SPREAD_MS) / STREAMS);
        let tokens = 0;
        let timeMs = 0;
        for (let i = 0; i < chatsPerStream; i++) {
          const answer = await chat(coordinator.target, PACED, { prompt: promptOf(PACED.tokens) });
          tokens += answer.tokens;
          timeMs += answer.totalMs;
        }
        return { tokens, timeMs };
      }),
    );
    const tokens = answers.reduce((sum, answer) => sum + answer.tokens, 0);
    const timeMs = answers.reduce((sum, answer) => sum + answer.timeMs, 0);
    const per100 = ((provider.sent() - before) * 100) / tokens;
    provider.abort();
    await coordinator.stop();
    return {
      reached:
        `${per100.toFixed(1)}, sent by the provider's own agent for ${STREAMS * chatsPerStream} answers of ` +
        `${PACED.tokens} tokens at ${((tokens * 1000) / timeMs).toFixed(0)} tokens/s, acceptances, completions and heartbeats included`,
      met: per100 <= MAX_PER_100_TOKENS,
    };
  },
};
