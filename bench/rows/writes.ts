import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

import { USAGE_FLUSH_INTERVAL_MS } from "../../core/limits.ts";
import type { RowSpec } from "../row.ts";
import { chat } from "../support/chat.ts";
import { Coordinator } from "../support/coordinator.ts";
import { Load } from "../support/load.ts";
import { CHAT } from "../support/work.ts";
import { committedTransactions } from "../support/write-ahead-log.ts";

/** Whether answering a request commits anything: the counters must wait and be flushed in one transaction. */

const CONCURRENCY = 16;
const WINDOW_MS = 4000;
const FLUSH_LIMIT_MS = USAGE_FLUSH_INTERVAL_MS + 2000;

export const writes: RowSpec = {
  work: "committed SQLite writes on the path of a request",
  target: "0 (buffered, flushed in one transaction)",
  async run() {
    const coordinator = await Coordinator.start();
    const { target, poolStorage } = coordinator;
    await coordinator.growTo(4);
    // The counters of this chat are flushed right before the window, so that no flush falls into it.
    await chat(target, CHAT);
    if ((await transactionsOfFlush(poolStorage)) === 0)
      throw new Error("no flush was seen before the window");
    const before = { transactions: committedTransactions(poolStorage), bytes: bytesWritten(target.pid ?? 0) };
    const load = new Load(target, CHAT, CONCURRENCY);
    await sleep(WINDOW_MS);
    const answers = load.answers;
    await load.stop();
    const transactions = committedTransactions(poolStorage) - before.transactions;
    const bytes = bytesWritten(target.pid ?? 0) - before.bytes;
    const flushed = await transactionsOfFlush(poolStorage);
    await coordinator.stop();
    if (flushed === 0) throw new Error("no flush was seen after the window");
    return {
      reached:
        `${transactions} transactions in the pool's write-ahead log and ${bytes} bytes to files by the whole server ` +
        `while ${answers} requests were answered in ${WINDOW_MS / 1000} s; ${flushed} transaction at the flush after them`,
      met: transactions === 0 && bytes === 0 && flushed === 1,
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

/** Bytes that the kernel has taken from a process for files so far; sockets do not count. */
function bytesWritten(pid: number): number {
  return Number(/^write_bytes: (\d+)$/m.exec(readFileSync(`/proc/${pid}/io`, "utf8"))?.[1] ?? Number.NaN);
}
