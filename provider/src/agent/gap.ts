/** What is left of `gapMs` since `since`; never more than all of it, even if the clock was set back in between. */
export function restOfGap(gapMs: number, since: number, now: number): number {
  return Math.min(gapMs, Math.max(0, since + gapMs - now));
}
