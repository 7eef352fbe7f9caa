import { lastRefusals } from "../../../dashboard/refusals.js";
import type { Snapshot } from "../../../dashboard/snapshot.js";

/** A fleet as the page reads it, to be varied by tests. */

export const NOW = Date.UTC(2026, 0, 5, 12, 30);
const HOUR_MS = 3_600_000;

type Pools = Snapshot["utilization"]["model_pools"];

export function aPool(fields: Partial<Pools["pools"][number]> = {}): Pools["pools"][number] {
  return {
    model_id: "a",
    desired: 2,
    floor: 0,
    serving: 2,
    loading: 0,
    draining: 0,
    failed: 0,
    unmanaged: 0,
    in_flight: 1,
    queued: 0,
    free_slots: 3,
    ...fields,
  };
}

export function aMachine(fields: Partial<Pools["machines"][number]> = {}): Pools["machines"][number] {
  return {
    machine_id: "mac-1",
    owner: "acme",
    managed: true,
    assigned_model: "a",
    epoch: 7,
    state: "assigned",
    state_age_ms: 1000,
    cordoned: false,
    loaded_models: ["a"],
    in_flight: 0,
    pools: ["a"],
    hardware: "Apple M3 Ultra",
    memory_gb: 96,
    token_id: "token",
    decode_tps: 57,
    context_length: null,
    trust_level: "none",
    trust_problem: null,
    explanation: { gate: null, why: "nothing keeps requests away", fix: null, unmanaged_because: null },
    ...fields,
  };
}

export function aPlanned(
  fields: Partial<Snapshot["placement"]["models"][number]> = {},
): Snapshot["placement"]["models"][number] {
  return {
    model_id: "a",
    offered: 40,
    served_in_time: 39,
    demand_rps: 1.3,
    deviation_rps: 0.4,
    capacity_rps: 1.6,
    demand_machines: 2,
    desired: 2,
    serving: 2,
    loading: 0,
    ...fields,
  };
}

export function aMove(
  fields: Partial<Snapshot["placement"]["moves"][number]> = {},
): Snapshot["placement"]["moves"][number] {
  return {
    machine_id: "mac-1",
    from: "a",
    to: "b",
    reason: "demand_gain",
    won_rps: 0.31,
    lost_rps: 0.02,
    gate_rps: 0.03,
    epoch: 8,
    ...fields,
  };
}

export function aSwitch(
  fields: Partial<Pools["last_switches"][number]> = {},
): Pools["last_switches"][number] {
  return {
    at: NOW - 20_000,
    machine_id: "mac-1",
    from: "a",
    to: "b",
    epoch: 8,
    reason: "demand gain: it can serve more",
    outcome: "succeeded",
    error: null,
    took_ms: 41_200,
    ...fields,
  };
}

export function used(outcome: string, requests: number, hoursAgo = 0, model_id = "a") {
  const hour_at = NOW - (NOW % HOUR_MS) - hoursAgo * HOUR_MS;
  return { model_id, hour_at, key_id: "k1", outcome, requests, prompt_tokens: 0, completion_tokens: 0 };
}

/** Usage as it is read for the first time. */
export function aUsage(...rows: ReturnType<typeof used>[]): NonNullable<Snapshot["usage"]> {
  return { rows, readAt: NOW, asOf: NOW, refused: lastRefusals(rows, NOW, undefined) };
}

export interface Changes {
  readonly fleet?: Partial<Pools>;
  readonly placement?: Partial<Snapshot["placement"]>;
  readonly usage?: Snapshot["usage"];
  readonly flags?: Snapshot["flags"];
}

export function aSnapshot({ fleet, placement, usage, flags }: Changes = {}): Snapshot {
  return {
    utilization: {
      at: NOW,
      model_pools: {
        assignment_gate: "on",
        placement: "enforce",
        pools: [aPool()],
        machines: [],
        co_resident_machines: 0,
        last_switches: [],
        unreachable_pools: [],
        refused_dials: [],
        ...fleet,
      },
    },
    placement: {
      at: NOW - 12_000,
      placement: "enforce",
      acts_as: "enforce",
      trial: null,
      warnings: [],
      halted: null,
      score: [],
      elapsed_seconds: 30,
      budget: 4,
      models: [aPlanned()],
      moves: [],
      machines: [],
      history: [],
      ...placement,
    },
    usage: usage ?? null,
    flags: flags ?? [],
  };
}
