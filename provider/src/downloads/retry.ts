import { basename } from "node:path";

import type { DownloadPorts } from "./ports.ts";
import { TransientError, UnreachableError } from "./problems.ts";
import { shown, type RemoteFile } from "./source.ts";

/** How often, and with which delays, a download is retried. */

/** Consecutive attempts without progress; with the delays below, about four minutes without a network. */
export const MANY_TRIES = 10;
/** For a machine that can serve another model meanwhile. */
export const FEW_TRIES = 3;
const MIN_PAUSE_MS = 1000;
const MAX_PAUSE_MS = 60_000;
/** A longer `Retry-After` is cut to this. */
const MAX_ASKED_PAUSE_MS = 600_000;

/**
 * Repeats `attempt` until it succeeds. An attempt that made progress, by `reached`, resets the count of failures.
 * @throws UnreachableError after `tries` failures, any error that is not transient, and the signal's reason.
 */
export async function retry<T>(
  { url, path }: RemoteFile,
  tries: number,
  ports: DownloadPorts,
  attempt: () => Promise<T>,
  reached: () => number = () => 0,
): Promise<T> {
  let failures = 0;
  let furthest = reached();
  for (;;) {
    try {
      return await attempt();
    } catch (cause) {
      if (!(cause instanceof TransientError)) throw cause;
      const at = reached();
      failures = at > furthest ? 1 : failures + 1;
      furthest = Math.max(furthest, at);
      if (failures >= tries) {
        throw new UnreachableError(
          `Cannot download ${shown(url)}: ${cause.message}. What is there of it is kept.`,
          { cause },
        );
      }
      const pauseMs = pauseAfter(failures, cause.retryAfterMs, ports.random());
      ports.log.warn("download interrupted", {
        file: basename(path),
        reason: cause.message,
        retryMs: Math.round(pauseMs),
      });
      await pause(pauseMs, ports);
    }
  }
}

/** Doubles with each failure; the random part keeps a whole fleet from retrying at the same moment. */
function pauseAfter(failures: number, askedMs: number | null, random: number): number {
  const doubled = Math.min(MAX_PAUSE_MS, MIN_PAUSE_MS * 2 ** (failures - 1));
  return Math.max(doubled * (0.5 + random / 2), Math.min(askedMs ?? 0, MAX_ASKED_PAUSE_MS));
}

/** @throws the signal's reason. */
export function pause(ms: number, { clock, signal }: Pick<DownloadPorts, "clock" | "signal">): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      cancel();
      reject(signal.reason);
    };
    const cancel = clock.after(ms, () => {
      signal.removeEventListener("abort", onAbort);
      resolve();
    });
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true });
  });
}
