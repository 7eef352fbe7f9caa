import { setTimeout as sleep } from "node:timers/promises";

import type { AdminClient, MachineAnswer } from "./admin-client.ts";
import { UserError } from "./user-error.ts";

/** How the demo waits for what the coordinator does: it asks the admin API again and again. */

const POLL_MS = 20;
const LIMIT_MS = 60_000;

/** @throws UserError with the `failure` if `look` finds nothing for a minute. */
export async function waitFor<T>(look: () => Promise<T | null>, failure: string): Promise<T> {
  for (let waitedMs = 0; waitedMs < LIMIT_MS; waitedMs += POLL_MS) {
    const found = await look();
    if (found !== null) return found;
    await sleep(POLL_MS);
  }
  throw new UserError(`${failure} within ${LIMIT_MS / 1000} s`);
}

/** Calls `onStep` whenever the machine's state or progress has changed, until it serves `model`. */
export async function watchSwitch(
  admin: AdminClient,
  machineId: string,
  model: string,
  onStep: (machine: MachineAnswer) => void,
): Promise<void> {
  let told = "";
  await waitFor(async () => {
    const machine = await admin.machine(machineId);
    const step = describe(machine);
    if (step !== told) onStep(machine);
    told = step;
    if (machine.state === "failed") {
      throw new UserError(`${machineId} could not be switched: ${machine.explanation.why}`);
    }
    return machine.assigned_model === model && machine.state === "assigned" ? machine : null;
  }, `${machineId} was not switched to ${model}`);
}

export async function watchRelease(admin: AdminClient, machineId: string): Promise<void> {
  await waitFor(async () => {
    const machine = await admin.machine(machineId);
    return machine.state === "unmanaged" ? machine : null;
  }, `${machineId} was not released`);
}

export function describe({ state, in_flight, loaded_models, explanation }: MachineAnswer): string {
  const running = in_flight === 0 ? "" : ` (${in_flight} request${in_flight === 1 ? "" : "s"} running)`;
  if (state === "assigned") return `serving ${loaded_models.join(" ")}`;
  return `${state.padEnd(9)} ${explanation.why}${running}`;
}
