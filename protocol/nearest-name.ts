/** The name that was probably meant by a misspelled one; null if none is close enough. */
export function nearestName(written: string, names: readonly string[]): string | null {
  let nearest: string | null = null;
  // The number of typos to expect in a name of this length.
  let least = Math.min(3, Math.floor(written.length / 3)) + 1;
  for (const name of names) {
    const slips = slipsBetween(plain(written), plain(name), least);
    if (slips >= least) continue;
    least = slips;
    nearest = name;
  }
  return nearest;
}

/** `contextLength`, `Context-Length` and `context_length` count as the same name. */
function plain(name: string): string {
  return name.toLowerCase().replaceAll(/[-_ ]/g, "");
}

/** The Levenshtein distance of two names, or `most` if it is at least that. */
function slipsBetween(a: string, b: string, most: number): number {
  if (Math.abs(a.length - b.length) >= most) return most;
  let row = Array.from({ length: b.length + 1 }, (_, at) => at);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const changed = (row[j - 1] ?? most) + Number(a[i - 1] !== b[j - 1]);
      next.push(Math.min(changed, (row[j] ?? most) + 1, (next[j - 1] ?? most) + 1));
    }
    row = next;
  }
  return row[b.length] ?? most;
}
