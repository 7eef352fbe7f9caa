import { writeFileSync } from "node:fs";

import { attemptLock } from "./attempt-lock.ts";

/** A process that takes the lock of a directory at the moment that it is told, and tells whether it has it. */

interface Order {
  readonly directory: string;
  /** Milliseconds since the Unix epoch. */
  readonly at: number;
  /** A file that is written before the answer, for those who cannot wait for a message. */
  readonly done?: string;
}

process.on("message", ({ directory, at, done }: Order) => {
  while (Date.now() < at);
  const answer = attemptLock(directory);
  if (done !== undefined) writeFileSync(done, answer);
  process.send?.(answer);
});

process.send?.("up");
