import { readConversations } from "../affinity/conversations.ts";
import { meanFirstTokenMs, replay, type Hints } from "../affinity/replay.ts";
import type { RowSpec } from "../row.ts";

/**
 * What the hash of a conversation's beginning adds to the blocks: conversations of agents, whose prompts all begin with the same
 * instructions and tools. What follows is short beside these, so the blocks tell few conversations apart.
 */

const MACHINES = 8;
const SPEEDS = { prefillTps: 2000, decodeTps: 40, slots: 4, places: 24 };
const PACES = [0.5, 1, 1.5];

/** 45,000 characters, as long as the instructions and tools of the common coding agents. */
const SHARED_TOKENS = 11_250;

const AT_MOST = 1;

export const affinityKey: RowSpec = {
  work:
    `the same with ${SHARED_TOKENS} tokens at the beginning of all prompts, with a hash of how each conversation began ` +
    `beside blocks alone, at ${PACES.join(", ")} times the trace's pace`,
  target: `below ${AT_MOST}`,
  run() {
    const turns = readConversations(SHARED_TOKENS);
    const ratios = PACES.map((pace) => {
      const meanWith = (hints: Hints): number =>
        meanFirstTokenMs(replay(turns, MACHINES, SPEEDS, pace, hints));
      return meanWith("blocks and conversation") / meanWith("blocks");
    });
    return Promise.resolve({
      reached: ratios.map((ratio) => ratio.toFixed(2)).join(", "),
      met: ratios.every((ratio) => ratio < AT_MOST),
    });
  },
};
