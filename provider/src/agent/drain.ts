import type { Jobs } from "./jobs.ts";
import type { Clock } from "./ports.ts";

/**
 * Lets running requests end before their model goes. A request without a byte by `drainMs` is sent elsewhere, which
 * costs its client nothing; one whose client reads already has twice that time, and is then cut (H16).
 */

/** An engine that has not stopped this long after the last stream was ended goes together with its model. */
const ENGINE_GRACE_MS = 5000;

/** Resolves when nothing runs any more, when the time is up, or on abort: the caller looks at the signal. */
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
