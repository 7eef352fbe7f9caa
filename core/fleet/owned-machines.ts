import type { MachineId, ModelId } from "../../protocol/ids.ts";
import { modelIds, type Directory } from "./directory.ts";
import type { Intents } from "./intents.ts";

/** Where the machines of one owner are, by what the fleet itself knows, for requests that want them and no others (H21). */

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
