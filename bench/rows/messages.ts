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
    const chatsPerStream = quick ? 2 : 3;
    let tokens = 0;
    const count = (): Count => ({ messages: provider.sent(), tokens, at: performance.now() });
    const start = count();
    /** While all streams run: from the last one's first token to the end of the first one. */
    let [all, some] = [start, start];
    let begun = 0;
    await Promise.all(
      Array.from({ length: STREAMS }, async (_, index) => {
        await sleep((index * SPREAD_MS) / STREAMS);
        let isFirst = true;
        const onTokens = (more: number): void => {
          tokens += more;
          if (!isFirst) return;
          isFirst = false;
          begun += 1;
          if (begun === STREAMS) all = count();
        };
        for (let i = 0; i < chatsPerStream; i++) {
          await chat(coordinator.target, PACED, { prompt: promptOf(PACED.tokens), onTokens });
        }
        if (some === start) some = count();
      }),
    );
    const end = count();
    provider.abort();
    await coordinator.stop();
    const reached = per100(all, some);
    const speed = ((some.tokens - all.tokens) * 1000) / (some.at - all.at) / STREAMS;
    return {
      reached:
        `${reached.toFixed(1)} while all ${STREAMS} ran, each one answer of ${PACED.tokens} tokens after the other at ` +
        `${speed.toFixed(0)} tokens/s; ${per100(start, end).toFixed(1)} with the times in which fewer ran. ` +
        "Sent by the provider's own agent; acceptances, completions and heartbeats included",
      met: reached <= MAX_PER_100_TOKENS,
    };
  },
};

interface Count {
  readonly messages: number;
  readonly tokens: number;
  readonly at: number;
}

function per100(from: Count, to: Count): number {
  return ((to.messages - from.messages) * 100) / (to.tokens - from.tokens);
}
