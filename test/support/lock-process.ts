import { lockDirectory } from "../../provider/src/state/directory-lock.ts";

/** A process that takes the lock of a directory at the moment that it is told, and tells whether it has it. */

interface Order {
  readonly directory: string;
  /** Milliseconds since the Unix epoch. */
  readonly at: number;
}

process.on("message", ({ directory, at }: Order) => {
  while (Date.now() < at);
  try {
    lockDirectory(directory);
    process.send?.("held");
  } catch (error) {
    process.send?.(error instanceof Error ? error.message : String(error));
  }
});
process.send?.("up");
