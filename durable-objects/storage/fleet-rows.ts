import { z } from "zod";

import type { Intent, Machine, Switch } from "../../core/fleet/machine.ts";
import { epochSchema, machineIdSchema, modelIdSchema } from "../../protocol/ids.ts";
import { hardwareSchema } from "../../protocol/upstream.ts";

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

export function machineOf(row: MachineRow): Machine {
  return {
    machineId: machineIdSchema.parse(row.machine_id),
    owner: row.owner,
    publicKey: row.public_key,
    version: row.version,
    sessionId: row.session_id,
    tokenId: row.token_id,
    hardware: hardwareSchema.parse(JSON.parse(row.hardware)),
    models: machineModelsSchema.parse(JSON.parse(row.models)),
    pools: modelIdsSchema.parse(JSON.parse(row.pools)),
    firstRegisteredAt: row.first_registered_at,
    registeredAt: row.registered_at,
    privateOnly: row.private_only === 1,
    maxConcurrency: row.max_concurrency,
    isQuarantined: row.quarantined === 1,
    cordonedAt: row.cordoned_at,
    goneAt: row.gone_at,
    uncordonedAt: row.uncordoned_at,
  };
}

export function intentOf(row: IntentRow): Intent {
  return {
    machineId: machineIdSchema.parse(row.machine_id),
    epoch: epochSchema.parse(row.epoch),
    model: modelIdSchema.nullable().parse(row.model),
    from: modelIdSchema.nullable().parse(row.from_model),
    reason: row.reason,
    phase: phaseSchema.parse(row.phase),
    outcome: outcomeSchema.nullable().parse(row.outcome),
    error: row.error_code === null ? null : { code: row.error_code, message: row.error_message ?? "" },
    pending: z.array(z.string()).parse(JSON.parse(row.pending)),
    isHeard: row.heard === 1,
    isPinned: row.pinned === 1,
    startedAt: row.started_at,
    phaseAt: row.phase_at,
    rounds: row.rounds,
    retryAt: row.retry_at,
  };
}

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
