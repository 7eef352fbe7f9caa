import { machineIdSchema, type MachineId } from "../../protocol/ids.ts";
import type { ApiError } from "../api-error.ts";
import { BULK_MACHINES_MAX } from "../limits.ts";
import type { ControlPlane } from "./control-plane.ts";
import { modelIds, unknownMachine } from "./directory.ts";
import type { Machine } from "./machine.ts";

/**
 * One order for many machines at once: each is accepted or refused by itself, as if it had been ordered alone, and none keeps
 * the others from theirs. All that were accepted are written down together.
 */

export const BULK_ORDERS = [
  "pin",
  "unpin",
  "release",
  "cordon",
  "uncordon",
  "quarantine",
  "readmit",
] as const;

/** Which machines are meant, by what the fleet itself knows of them: all that are as each field says. */
export interface Where {
  readonly owner?: string | undefined;
  readonly chip?: string | undefined;
  /** The model that it is assigned to; null for those that are assigned to none. */
  readonly assigned_model?: string | null | undefined;
  /** A model that is on its disk. */
  readonly has_model?: string | undefined;
  /** Of the provider token that it last registered with. */
  readonly token_id?: string | undefined;
  readonly cordoned?: boolean | undefined;
  readonly quarantined?: boolean | undefined;
}

export interface BulkOrder {
  readonly order: (typeof BULK_ORDERS)[number];
  /** Only of a pin, by id or alias. */
  readonly modelId: string | null;
  /** Their ids, or how they are. */
  readonly machines: readonly string[] | Where;
  /** Says what would be answered, and changes nothing. */
  readonly isDryRun: boolean;
}

export interface OrderedMachine {
  readonly machineId: string;
  /** What it was assigned to before. */
  readonly from: string | null;
  /** Of its newest order, this one included. */
  readonly epoch: number;
  /** Why it was refused; null if it was not. */
  readonly error: ApiError | null;
}

export type BulkVerdict =
  | { readonly ok: true; readonly machines: readonly OrderedMachine[] }
  | { readonly ok: false; readonly error: ApiError };

/** Gives the order to each machine, or says what would come of that. */
export function orderMany(core: ControlPlane, bulk: BulkOrder, now: number): BulkVerdict {
  const chosen = chosenBy(core, bulk.machines);
  if (chosen.length > BULK_MACHINES_MAX) {
    const message =
      `where: ${chosen.length} machines are like that, and one call takes ${BULK_MACHINES_MAX}; ` +
      "narrow it down, or name the machines";
    return { ok: false, error: { code: "invalid_request", param: "where", message } };
  }
  return { ok: true, machines: chosen.map((machineId) => orderOne(core, bulk, machineId, now)) };
}

function chosenBy({ directory, intents }: ControlPlane, machines: BulkOrder["machines"]): MachineId[] {
  if (isList(machines)) return [...new Set(machines)].map((id) => machineIdSchema.parse(id));
  return [...directory.all()]
    .filter((machine) => isLike(machine, intents.get(machine.machineId)?.model ?? null, machines))
    .map(({ machineId }) => machineId)
    .toSorted();
}

function isList(machines: BulkOrder["machines"]): machines is readonly string[] {
  return Array.isArray(machines);
}

function isLike(machine: Machine, assigned: string | null, where: Where): boolean {
  const is: Where = {
    owner: machine.owner,
    chip: machine.hardware.chip_name,
    assigned_model: assigned,
    token_id: machine.tokenId ?? undefined,
    cordoned: machine.cordonedAt !== null,
    quarantined: machine.isQuarantined,
  };
  const { has_model: model, ...rest } = where;
  if (model !== undefined && !modelIds(machine).some((id) => id === model)) return false;
  const names = ["owner", "chip", "assigned_model", "token_id", "cordoned", "quarantined"] as const;
  return names.every((name) => rest[name] === undefined || rest[name] === is[name]);
}

function orderOne(core: ControlPlane, bulk: BulkOrder, machineId: MachineId, now: number): OrderedMachine {
  const from = core.intents.get(machineId)?.model ?? null;
  const error = bulk.isDryRun ? whyNot(core, bulk, machineId) : give(core, bulk, machineId, now);
  return { machineId, from, epoch: core.intents.epochOf(machineId), error };
}

/** Why `give` would refuse it; null if it would not. */
function whyNot(core: ControlPlane, { order, modelId }: BulkOrder, machineId: MachineId): ApiError | null {
  if (core.directory.get(machineId) === null) return unknownMachine(machineId);
  switch (order) {
    case "pin":
      return core.orders.whyNotPinned(machineId, modelId ?? "");
    case "release":
      return core.orders.whyNotReleased(machineId);
    case "unpin":
    case "cordon":
    case "uncordon":
    case "quarantine":
    case "readmit":
      return null;
  }
}

function give(
  core: ControlPlane,
  { order, modelId }: BulkOrder,
  machineId: MachineId,
  now: number,
): ApiError | null {
  if (core.directory.get(machineId) === null) return unknownMachine(machineId);
  switch (order) {
    case "pin": {
      const verdict = core.orders.pin(machineId, modelId ?? "", now);
      return verdict.ok ? null : verdict.error;
    }
    case "release":
      return core.orders.release(machineId, "released by an operator", now);
    case "unpin":
      core.intents.unpin(machineId);
      return null;
    case "cordon":
    case "uncordon":
      return core.cordons.set(machineId, order === "cordon", now);
    case "quarantine":
      return core.quarantine(machineId, now);
    case "readmit":
      return core.readmit(machineId);
  }
}
