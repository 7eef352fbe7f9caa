/** What is left of `gapMs` since `since`: all of it at most, for a Mac's clock may have been set back in between. */
export function restOfGap(gapMs: number, since: number, now: number): number {
  return Math.min(gapMs, Math.max(0, since + gapMs - now));
}
