import type { PlacementMachine } from "../../../../core/placement/types.ts";
import { modelIdSchema } from "../../../../protocol/ids.ts";

export const [A, B] = [modelIdSchema.parse("acme/a"), modelIdSchema.parse("acme/b")];

/** One that has served A for long. */
export function aMachine(
  machineId: string,
  change: Partial<PlacementMachine> & Pick<PlacementMachine, "fits">,
): PlacementMachine {
  return {
    machineId,
    model: A,
    state: "serving",
    loadDeadlineAt: null,
    assignedAt: 0,
    isPinned: false,
    isManageable: true,
    cooldownUntil: {},
    inFlight: 0,
    wentAt: null,
    ...change,
  };
}
