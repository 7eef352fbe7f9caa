/**
 * The value of capacity: requests/s that a pool of capacity c is expected to serve, E[min(D, c)] for a demand
 * D ~ N(mean, deviation^2). It is concave: the first machines of a pool are worth their whole capacity, surplus ones nothing.
 */

/** Upper tail of the normal distribution, by Abramowitz and Stegun 7.1.26 (error below 1e-7). `density` is phi(u). */
function upperTail(u: number, density: number): number {
  const x = Math.abs(u) * Math.SQRT1_2;
  const t = 1 / (1 + 0.3275911 * x);
  const series =
    t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  const tail = 0.5 * series * density * SQRT_TAU;
  return u >= 0 ? tail : 1 - tail;
}

const SQRT_TAU = Math.sqrt(2 * Math.PI);

/** E[min(D, capacity)], in the unit of the mean: mean - deviation * (phi(u) - u * Q(u)), u = (capacity - mean) / deviation. */
export function expectedServed(mean: number, deviation: number, capacity: number): number {
  const u = (capacity - mean) / deviation;
  if (u > 8) return mean;
  if (u < -8) return capacity;
  const density = Math.exp(-0.5 * u * u) / SQRT_TAU;
  return mean - deviation * (density - u * upperTail(u, density));
}
