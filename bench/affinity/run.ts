import { quantile } from "../support/load.ts";
import { readConversations } from "./conversations.ts";
import { replay, type Replay } from "./replay.ts";

/**
 * What it is worth that a conversation goes back to the machine that has read it: the same conversations through the
 * same pool and machines, with what the edge tells of their beginnings and without.
 */

const MACHINES = 8;
const SPEEDS = { prefillTps: 1000, decodeTps: 40, slots: 4 };
/** Conversations whose cache a machine keeps: as many as it runs at once, or several times as many. */
const PLACES = [4, 24];
const PACES = [0.5, 1, 1.5];

const turns = readConversations();
const later = turns.filter(({ turn }) => turn > 0).length;
console.log(
  `${turns.length} requests of ${turns.length - later} conversations; ${MACHINES} machines with ` +
    `${SPEEDS.slots} slots, ${SPEEDS.prefillTps} tokens/s prefill, ${SPEEDS.decodeTps} tokens/s decode`,
);
console.log("| places | pace | affinity | first token p50, p95, mean (ms) | cached | refused |");
for (const places of PLACES) {
  for (const pace of PACES) {
    const [without, with_] = [false, true].map((isAffine) =>
      replay(turns, MACHINES, { ...SPEEDS, places }, pace, isAffine),
    );
    if (without === undefined || with_ === undefined) throw new Error("both were asked for");
    print(places, pace, "without", without);
    print(places, pace, "with", with_);
    console.log(
      `| ${places} | ${pace} | ratio of means | ${(meanOf(with_) / meanOf(without)).toFixed(2)} | | |`,
    );
  }
}

function print(places: number, pace: number, name: string, result: Replay): void {
  const times = timesOf(result);
  const summary = [quantile(times, 0.5), quantile(times, 0.95), meanOf(result)];
  const cached = `${(100 * result.cachedShare).toFixed(0)} %`;
  const told = summary.map((ms) => ms.toFixed(0)).join(", ");
  console.log(`| ${places} | ${pace} | ${name} | ${told} | ${cached} | ${result.refused} |`);
}

function meanOf(result: Replay): number {
  const times = timesOf(result);
  return times.reduce((sum, ms) => sum + ms, 0) / Math.max(1, times.length);
}

function timesOf({ served }: Replay): number[] {
  return served.map(({ firstTokenMs }) => firstTokenMs);
}
