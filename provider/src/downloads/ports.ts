import type { Clock, Log, Random } from "../agent/ports.ts";
import type { DownloadProgress } from "./progress.ts";

/** What downloads need from outside. */
export interface DownloadPorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly fetch: typeof fetch;
  /** Bytes that this program may still write to the disk of `directory`. */
  readonly freeBytes: (directory: string) => Promise<number>;
  readonly log: Log;
  /** Shows progress; called with null to end it. Null if there is no terminal: then progress is logged. */
  readonly showProgress: ((progress: DownloadProgress | null) => void) | null;
  /** The owner's token at Hugging Face. */
  readonly hubToken: string | null;
  /** Aborts all downloads; partial files stay. */
  readonly signal: AbortSignal;
}
