/** How near two vectors of length 1 are: 1 for the same direction. */
export function nearness(one: readonly number[] = [], other: readonly number[] = []): number {
  return one.reduce((sum, value, index) => sum + value * (other[index] ?? NaN), 0);
}
