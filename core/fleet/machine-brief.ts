import type { MachineId } from "../../protocol/ids.ts";
import type { ControlPlane } from "./control-plane.ts";

/** What orders change of a machine, as the log of changes tells it. @returns null if the machine is not known */
export function machineBrief({ directory, intents }: ControlPlane, machineId: MachineId): object | null {
  const machine = directory.get(machineId);
  if (machine === null) return null;
  const intent = intents.get(machineId);
  return {
    assigned_model: intent?.model ?? null,
    pinned: intent?.isPinned === true,
    epoch: intents.epochOf(machineId),
    cordoned: machine.cordonedAt !== null,
    quarantined: machine.isQuarantined,
  };
}
