import type { Clock, Log, Random } from "../agent/ports.ts";

/** What downloads need of the world. */
export interface DownloadPorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly fetch: typeof fetch;
  /** Bytes that this program may still write to the disk of `directory`. */
  readonly freeBytes: (directory: string) => Promise<number>;
  readonly log: Log;
  /** Takes the place of the line before, an empty one of all; null if nobody watches, and log lines have to say it. */
  readonly showProgress: ((line: string) => void) | null;
  /** The owner's token at Hugging Face. */
  readonly hubToken: string | null;
  /** Ends every download at once; what is there of a file stays. */
  readonly signal: AbortSignal;
}
