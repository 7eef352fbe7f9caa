import type { MachineId, ModelId } from "../../protocol/ids.ts";
import { modelIds, type Directory } from "./directory.ts";
import type { Intents } from "./intents.ts";

/** The pools of an owner's machines, for requests that ask for them (H21). Uses only what the fleet itself knows. */

export interface OwnedMachine {
  readonly machineId: MachineId;
  /** What it has on disk. */
  readonly models: readonly ModelId[];
  /** The pool that it is assigned to; null if it is in those of all its models. */
  readonly pool: ModelId | null;
  /** It has not arrived there yet. */
  readonly isSwitching: boolean;
}

export function ownedMachines(owner: string, directory: Directory, intents: Intents): OwnedMachine[] {
  return [...directory.all()]
    .filter((machine) => machine.owner === owner)
    .map((machine) => ({
      machineId: machine.machineId,
      models: modelIds(machine),
      pool: intents.destination(machine.machineId).pool,
      isSwitching: intents.isSwitching(machine.machineId),
    }));
}
