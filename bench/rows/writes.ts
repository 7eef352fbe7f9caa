import { setTimeout as sleep } from "node:timers/promises";

import { USAGE_FLUSH_INTERVAL_MS } from "../../core/limits.ts";
import type { RowSpec } from "../row.ts";
import { chat } from "../support/chat.ts";
import { Coordinator } from "../support/coordinator.ts";
import { Load } from "../support/load.ts";
import { CHAT } from "../support/work.ts";
import { committedTransactions } from "../support/write-ahead-log.ts";

/**
 * Whether answering a request commits anything: the counters must wait and be flushed in one transaction. The fleet's tick writes
 * what it has learned, a few transactions each time and however many requests there were; it is counted apart.
 */

const CONCURRENCY = 16;
const WINDOW_MS = 4000;
/** Of a tick or two within the window, calls about demand included. */
const TICK_TRANSACTIONS_MAX = 12;
const FLUSH_LIMIT_MS = USAGE_FLUSH_INTERVAL_MS + 2000;

export const writes: RowSpec = {
  work: "committed SQLite writes on the path of a request",
  target: "0 (buffered, flushed in one transaction)",
  async run() {
    const coordinator = await Coordinator.start();
    const { target, poolStorage, fleetStorage } = coordinator;
    await coordinator.growTo(4);
    // The counters of this chat are flushed right before the window, so that no flush falls into it.
    await chat(target, CHAT);
    if ((await transactionsOfFlush(poolStorage)) === 0)
      throw new Error("no flush was seen before the window");
    const before = { pool: committedTransactions(poolStorage), fleet: committedTransactions(fleetStorage) };
    const load = new Load(target, CHAT, CONCURRENCY);
    await sleep(WINDOW_MS);
    const answers = load.answers;
    await load.stop();
    const transactions = committedTransactions(poolStorage) - before.pool;
    const ofTheFleet = committedTransactions(fleetStorage) - before.fleet;
    const flushed = await transactionsOfFlush(poolStorage);
    await coordinator.stop();
    if (flushed === 0) throw new Error("no flush was seen after the window");
    return {
      reached:
        `${transactions} transactions of the pool and ${ofTheFleet} of the fleet's tick, by their write-ahead logs, ` +
        `while ${answers} requests were answered in ${WINDOW_MS / 1000} s; ${flushed} transaction at the flush after them`,
      met: transactions === 0 && ofTheFleet <= TICK_TRANSACTIONS_MAX && flushed === 1,
    };
  },
};

/** Waits for the next flush of the counters. */
async function transactionsOfFlush(poolStorage: string): Promise<number> {
  const before = committedTransactions(poolStorage);
  for (let waited = 0; waited < FLUSH_LIMIT_MS; waited += 50) {
    await sleep(50);
    if (committedTransactions(poolStorage) === before) continue;
    await sleep(100);
    break;
  }
  return committedTransactions(poolStorage) - before;
}
