/**
 * Versions of providers, compared by the rules of semver 2.0.0 section 11: numbers as numbers, a pre-release before
 * its release, build metadata ignored.
 */

/** Negative if `a` is older than `b`, 0 if equal. An invalid version is older than any other. */
export function compareVersions(a: string | null, b: string | null): number {
  const [x, y] = [parse(a), parse(b)];
  if (x === null || y === null) return Number(x !== null) - Number(y !== null);
  for (let i = 0; i < 3; i++) {
    const difference = (x.numbers[i] ?? 0) - (y.numbers[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return comparePreRelease(x.preRelease, y.preRelease);
}

function parse(version: string | null): { numbers: number[]; preRelease: string[] } | null {
  const match = /^v?(\d+)\.(\d+)\.(\d+)(?:-([0-9A-Za-z.-]+))?(?:\+.*)?$/.exec(version ?? "");
  if (match === null) return null;
  return { numbers: match.slice(1, 4).map(Number), preRelease: match[4]?.split(".") ?? [] };
}

function comparePreRelease(a: readonly string[], b: readonly string[]): number {
  if (a.length === 0 || b.length === 0) return Number(a.length === 0) - Number(b.length === 0);
  for (let i = 0; i < Math.max(a.length, b.length); i++) {
    const [x, y] = [a[i], b[i]];
    if (x === undefined || y === undefined) return Number(x !== undefined) - Number(y !== undefined);
    if (x === y) continue;
    const [xIsNumber, yIsNumber] = [/^\d+$/.test(x), /^\d+$/.test(y)];
    if (xIsNumber && yIsNumber) return Number(x) - Number(y);
    if (xIsNumber !== yIsNumber) return xIsNumber ? -1 : 1;
    return x < y ? -1 : 1;
  }
  return 0;
}
