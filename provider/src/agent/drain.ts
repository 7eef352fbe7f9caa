import type { Jobs } from "./jobs.ts";
import type { Clock } from "./ports.ts";

/**
 * Lets running requests finish before their model is unloaded. A request that has sent no byte after `drainMs` is
 * retried on another machine, unnoticed by its client; one that has gets twice that time and is then ended (H16).
 */

/** If the engine has not stopped this long after the last stream was ended, the model is unloaded anyway. */
const ENGINE_GRACE_MS = 5000;

/** Resolves when nothing runs any more, when the time is up, or on abort; the caller checks the signal. */
export function drain(jobs: Jobs, drainMs: number, clock: Clock, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      for (const cancel of timers) cancel();
      resolve();
    };
    const timers = [
      clock.after(drainMs, () => jobs.endRunning("without_byte")),
      clock.after(2 * drainMs, () => jobs.endRunning("all")),
      clock.after(2 * drainMs + ENGINE_GRACE_MS, end),
    ];
    signal.addEventListener("abort", end, { once: true });
    void jobs.until(() => jobs.running() === 0).then(end);
  });
}
