import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/**
 * Counts transactions in SQLite's write-ahead logs, whose format is documented: a header of 32 bytes, then frames of
 * 24 bytes and a page each. The last frame of a transaction carries the database's size, all others a zero there.
 * Frames left over from before the log was last restarted have another salt.
 */

const LOG_HEADER_BYTES = 32;
const FRAME_HEADER_BYTES = 24;

/** Transactions in the logs of all databases directly in `folder`. They go when the object sleeps. */
export function committedTransactions(folder: string): number {
  return readdirSync(folder)
    .filter((file) => file.endsWith("-wal"))
    .reduce((sum, file) => sum + transactionsOf(readFileSync(join(folder, file))), 0);
}

function transactionsOf(log: Buffer): number {
  if (log.length < LOG_HEADER_BYTES) return 0;
  const frameBytes = FRAME_HEADER_BYTES + log.readUInt32BE(8);
  const salt = log.readBigUInt64BE(16);
  let count = 0;
  for (let at = LOG_HEADER_BYTES; at + frameBytes <= log.length; at += frameBytes) {
    if (log.readBigUInt64BE(at + 8) !== salt) break;
    if (log.readUInt32BE(at + 4) > 0) count += 1;
  }
  return count;
}
