import { readConversations } from "../affinity/conversations.ts";
import { type Hints, meanFirstTokenMs, replay } from "../affinity/replay.ts";
import type { RowSpec } from "../row.ts";

/**
 * What it is worth that a conversation goes back to the machine that has read it: the same conversations through the
 * same pool and machines, with what the edge tells of their beginnings and without.
 */

const MACHINES = 8;
const SPEEDS = { prefillTps: 1000, decodeTps: 40, slots: 4 };
const PACES = [0.5, 1, 1.5];

/** Conversations whose cache a machine keeps: as many as it runs at once, or several times as many. */
const FEW = 4;
const MANY = 24;

/** Nothing is there to go back to, so nothing may be lost either. */
const FEW_AT_MOST = 1.02;
const MANY_AT_MOST = 0.9;

export const affinity: RowSpec = {
  work:
    `mean time to the first token of the Mooncake conversations on ${MACHINES} simulated machines, with affinity beside ` +
    `without, at ${PACES.join(", ")} times the trace's pace`,
  target: `at most ${MANY_AT_MOST} if a machine keeps ${MANY} conversations cached, ${FEW_AT_MOST} if it keeps ${FEW}`,
  run() {
    const turns = readConversations();
    const conversations = turns.filter(({ turn }) => turn === 0).length;
    const ratios = (places: number): number[] =>
      PACES.map((pace) => {
        const meanWith = (hints: Hints): number =>
          meanFirstTokenMs(replay(turns, MACHINES, { ...SPEEDS, places }, pace, hints));
        return meanWith("blocks and conversation") / meanWith("none");
      });
    const many = ratios(MANY);
    const few = ratios(FEW);
    return Promise.resolve({
      reached:
        `${MANY} cached: ${shown(many)}; ${FEW} cached: ${shown(few)} ` +
        `(${turns.length} requests of ${conversations} conversations)`,
      met: many.every((ratio) => ratio <= MANY_AT_MOST) && few.every((ratio) => ratio <= FEW_AT_MOST),
    });
  },
};

function shown(ratios: readonly number[]): string {
  return ratios.map((ratio) => ratio.toFixed(2)).join(", ");
}
