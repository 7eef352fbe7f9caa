import { z } from "zod";

import type { Intent, Machine, Switch } from "../../core/fleet/machine.ts";
import { epochSchema, machineIdSchema, modelIdSchema, type ModelId } from "../../protocol/ids.ts";
import { hardwareSchema, type Hardware } from "../../protocol/upstream.ts";

/** Rows of the fleet's SQLite, and what they say. */

export type MachineRow = {
  machine_id: string;
  owner: string;
  public_key: string;
  version: string | null;
  session_id: string;
  token_id: string | null;
  hardware: string;
  models: string;
  pools: string;
  first_registered_at: number;
  registered_at: number;
  private_only: number;
  max_concurrency: number;
  quarantined: number;
  cordoned_at: number | null;
  gone_at: number | null;
  uncordoned_at: number | null;
  left_at: number | null;
};

export type IntentRow = {
  machine_id: string;
  epoch: number;
  model: string | null;
  from_model: string | null;
  reason: string;
  phase: string;
  outcome: string | null;
  error_code: string | null;
  error_message: string | null;
  pending: string;
  holders: string | null;
  heard: number;
  pinned: number;
  started_at: number;
  phase_at: number;
  rounds: number;
  retry_at: number | null;
};

export type SwitchRow = {
  at: number;
  machine_id: string;
  from_model: string | null;
  to_model: string | null;
  epoch: number;
  reason: string;
  outcome: string;
  error: string | null;
  took_ms: number;
};

const modelIdsSchema = z.array(modelIdSchema);
const poolNamesSchema = z.array(z.string());
/** Rows written before speeds were kept hold bare ids. */
const machineModelsSchema = z.array(
  z.union([
    modelIdSchema.transform((id) => ({ id, sizeBytes: 0, decodeTps: null, prefillTps: null })),
    z.object({
      id: modelIdSchema,
      sizeBytes: z.number(),
      decodeTps: z.number().nullable(),
      prefillTps: z.number().nullable(),
    }),
  ]),
);
const phaseSchema = z.enum(["releasing", "expecting", "ordered", "done"]);
const outcomeSchema = z.enum(["succeeded", "failed"]);
export const switchOutcomeSchema = z.enum(["succeeded", "failed", "superseded"]);

/** @throws if what it says of the machine's hardware or models is not understood. */
export function machineOf(row: MachineRow): Machine {
  return {
    ...ofMachine(row),
    hardware: hardwareSchema.parse(JSON.parse(row.hardware)),
    models: machineModelsSchema.parse(JSON.parse(row.models)),
    pools: modelIdsSchema.parse(JSON.parse(row.pools)),
  };
}

/**
 * A machine of which only that is known what no register says again: whose it is, and what operators have decided. Left out,
 * its id would be anybody's, and one that was shut out might come back. Its next register says the rest.
 */
export function bareMachineOf(row: MachineRow): Machine | null {
  if (!machineIdSchema.safeParse(row.machine_id).success) return null;
  return { ...ofMachine(row), hardware: UNKNOWN_HARDWARE, models: [], pools: [] };
}

/** It can hold nothing. */
const UNKNOWN_HARDWARE: Hardware = {
  machine_model: "unknown",
  chip_name: "unknown",
  chip_family: "unknown",
  chip_tier: "unknown",
  memory_gb: 0,
  gpu_cores: 0,
  memory_bandwidth_gbs: 0,
};

/** Of a decision that this version does not know, anything but 0 is the careful reading. */
function ofMachine(row: MachineRow): Omit<Machine, "hardware" | "models" | "pools"> {
  return {
    machineId: machineIdSchema.parse(row.machine_id),
    owner: row.owner,
    publicKey: row.public_key,
    version: row.version,
    sessionId: row.session_id,
    tokenId: row.token_id,
    firstRegisteredAt: row.first_registered_at,
    registeredAt: row.registered_at,
    privateOnly: row.private_only !== 0,
    maxConcurrency: row.max_concurrency,
    isQuarantined: row.quarantined !== 0,
    cordonedAt: row.cordoned_at,
    goneAt: row.gone_at,
    uncordonedAt: row.uncordoned_at,
    leftAt: row.left_at,
  };
}

/** @throws if it is not understood. */
export function intentOf(row: IntentRow): Intent {
  const model = modelIdSchema.nullable().parse(row.model);
  const pending = poolNamesSchema.parse(JSON.parse(row.pending));
  return {
    machineId: machineIdSchema.parse(row.machine_id),
    epoch: epochSchema.parse(row.epoch),
    model,
    from: modelIdSchema.nullable().parse(row.from_model),
    reason: row.reason,
    phase: phaseSchema.parse(row.phase),
    outcome: outcomeSchema.nullable().parse(row.outcome),
    error: row.error_code === null ? null : { code: row.error_code, message: row.error_message ?? "" },
    pending,
    holders:
      row.holders === null ? possibleHolders(pending, model) : poolNamesSchema.parse(JSON.parse(row.holders)),
    isHeard: row.heard === 1,
    isPinned: row.pinned !== 0,
    startedAt: row.started_at,
    phaseAt: row.phase_at,
    rounds: row.rounds,
    retryAt: row.retry_at,
  };
}

/** An earlier version has not kept who may have the machine: whoever has not released it, and its own pool. */
function possibleHolders(pending: readonly string[], model: ModelId | null): readonly string[] {
  return [...new Set(model === null ? pending : [...pending, model])];
}

/**
 * An order that is not understood, for the handover to give anew: its epoch must not be lost, and until then the machine is
 * routable only where its pool knows it to be. Null without an epoch.
 */
export function unreadIntentOf(row: IntentRow): Intent | null {
  const machineId = machineIdSchema.safeParse(row.machine_id);
  const epoch = epochSchema.safeParse(row.epoch);
  if (!machineId.success || !epoch.success) return null;
  return {
    machineId: machineId.data,
    epoch: epoch.data,
    model: modelIdSchema.safeParse(row.model).data ?? null,
    from: modelIdSchema.safeParse(row.from_model).data ?? null,
    reason: row.reason,
    phase: "releasing",
    outcome: null,
    error: null,
    pending: [],
    holders: [],
    isHeard: false,
    isPinned: row.pinned !== 0,
    startedAt: row.started_at,
    phaseAt: row.phase_at,
    rounds: 0,
    retryAt: row.phase_at,
  };
}

/** @throws if it is not understood. */
export function switchOf(row: SwitchRow): Switch {
  return {
    at: row.at,
    machineId: machineIdSchema.parse(row.machine_id),
    from: modelIdSchema.nullable().parse(row.from_model),
    to: modelIdSchema.nullable().parse(row.to_model),
    epoch: epochSchema.parse(row.epoch),
    reason: row.reason,
    outcome: switchOutcomeSchema.parse(row.outcome),
    error: row.error,
    tookMs: row.took_ms,
  };
}
