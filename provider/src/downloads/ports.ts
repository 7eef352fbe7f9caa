import type { Clock, Log, Random } from "../agent/ports.ts";
import type { DownloadProgress } from "./progress.ts";

/** What downloads need of the world. */
export interface DownloadPorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly fetch: typeof fetch;
  /** Bytes that this program may still write to the disk of `directory`. */
  readonly freeBytes: (directory: string) => Promise<number>;
  readonly log: Log;
  /** Null ends what was shown; null instead of a function: nobody watches, and log lines have to say it. */
  readonly showProgress: ((progress: DownloadProgress | null) => void) | null;
  /** The owner's token at Hugging Face. */
  readonly hubToken: string | null;
  /** Ends every download at once; what is there of a file stays. */
  readonly signal: AbortSignal;
}
