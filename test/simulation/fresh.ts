import { expect } from "vitest";

import type { Hooks } from "../../simulator/handover/hooks.ts";
import { play, type RunResult } from "../../simulator/handover/world.ts";

/**
 * Plays seeds that no run has played before, or those from `SIMULATION_SEED` on, and demands that none breaks an invariant. A
 * failure names its seed.
 * @param count by number and not by time, so that a slow machine tests as much as a fast one.
 */
export async function playFresh(count: number, hooks: () => Hooks): Promise<RunResult[]> {
  const first = Number(process.env["SIMULATION_SEED"] ?? Date.now() % 1_000_000_000);
  process.stdout.write(`simulation: ${count} seeds from ${first}\n`);
  const results: RunResult[] = [];
  for (let seed = first; seed < first + count; seed++) {
    const result = await play(seed, hooks());
    expect(result.breach, `seed ${seed}`).toBeNull();
    results.push(result);
  }
  return results;
}
