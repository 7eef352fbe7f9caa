import { type FleetFile, parseFleetFile } from "../../../../simulator/placement/fleet-file.ts";
import type { Scenario } from "../../../../simulator/placement/scenario.ts";

/** A scenario straight from a demand table in machine units: equal machines, no disturbances. */
export function scenarioWith(
  demand: readonly (readonly number[])[],
  machines: number,
  { switchMinutes = 1, ...more }: Partial<Scenario> = {},
): Scenario {
  const models = (demand[0] ?? []).map((_, model) => ({
    id: `model-${model}`,
    floor: 0,
    cap: machines,
    priority: 1,
    share: 1 / (demand[0]?.length ?? 1),
  }));
  return {
    machines: Array.from({ length: machines }, (_, index) => ({
      name: `mac-${index}`,
      fleetClass: 0,
      speeds: models.map(() => 1),
    })),
    models,
    demand,
    start_s: 0,
    switchMinutes,
    switchSeconds: switchMinutes * 60,
    requestsPerMinute: 40,
    load: 0.8,
    observe: "perfect",
    loadFailures: 0,
    outages: [],
    seed: 1,
    ...more,
  };
}

export function fleetJson(more: object = {}): object {
  return {
    machines: [{ count: 4, memory_gb: 64, chip: "M2" }],
    models: [
      { id: "a", share: 0.75, size_gb: 20, min_ram_gb: 32, floor: 1, cap: null, priority: 1 },
      { id: "b", share: 0.25, size_gb: 20, min_ram_gb: 32, floor: 1, cap: null, priority: 2 },
    ],
    load: 0.5,
    machine_requests_per_minute: 10,
    switch_seconds: 120,
    observe: "perfect",
    ...more,
  };
}

export function fleetWith(more: object = {}): FleetFile {
  return parseFleetFile(fleetJson(more), "fleet.json");
}
