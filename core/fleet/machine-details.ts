import type { Flags } from "../flags.ts";
import { explain, type Explanation } from "./explain.ts";
import { viewMachine, type FleetView } from "./fleet-view.ts";
import type { Machine } from "./machine.ts";
import type { Usefulness, UsefulModel } from "./useful-models.ts";
import { machineRow, type MachineRow } from "./utilization.ts";

/** One machine as an operator looks at it, in the shape of `GET /v1/admin/machines/{id}`. */

export interface MachineDetails extends MachineRow {
  readonly explanation: Explanation;
  /** Why the last plan left it where it is; null if it moved it, or nothing is planned. */
  readonly stays_because: string | null;
  /** What the fleet would serve more with this machine holding each of these models, the most useful first. */
  readonly useful_models: readonly UsefulModel[];
  readonly advice: string | null;
  readonly version: string | null;
  readonly models: readonly string[];
  readonly quarantined: boolean;
  readonly private_only: boolean;
  /** Pools that may have a connection of it and did not answer, so that what they know is missing. */
  readonly unreachable_pools: readonly string[];
  /** The newest order about it: null if there never was one. */
  readonly order: {
    readonly reason: string;
    readonly phase: string;
    readonly outcome: string | null;
    readonly error: string | null;
    readonly waiting_for: readonly string[];
    readonly pinned: boolean;
  } | null;
}

/** @param pools those that may know it, all of which were asked. */
export function machineDetails(
  view: FleetView,
  machine: Machine,
  flags: Flags,
  staysBecause: string | null,
  useful: Usefulness,
  pools: readonly string[],
): MachineDetails {
  const intent = view.intents.get(machine.machineId);
  return {
    ...machineRow(viewMachine(view, machine), view.now),
    explanation: explain(view, machine, flags),
    stays_because: flags.placement === "off" ? null : staysBecause,
    useful_models: useful.models,
    advice: useful.advice,
    version: machine.version,
    models: machine.models.map(({ id }) => id),
    quarantined: machine.isQuarantined,
    private_only: machine.privateOnly,
    unreachable_pools: pools.filter((pool) => !view.reports.has(pool)),
    order:
      intent === undefined
        ? null
        : {
            reason: intent.reason,
            phase: intent.phase,
            outcome: intent.outcome,
            error: intent.error?.message ?? null,
            waiting_for: intent.phase === "releasing" ? intent.pending : [],
            pinned: intent.isPinned,
          },
  };
}
