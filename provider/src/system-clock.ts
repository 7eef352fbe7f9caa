import type { Clock } from "./agent/ports.ts";

/** The longest that a timer can wait; above it Node would not wait at all. */
const MAX_DELAY_MS = 2 ** 31 - 1;

/** The time of the machine itself. */
export const SYSTEM_CLOCK: Clock = {
  now: () => Date.now(),
  after(delayMs, run) {
    const timer = setTimeout(run, Math.min(delayMs, MAX_DELAY_MS));
    return () => clearTimeout(timer);
  },
};
