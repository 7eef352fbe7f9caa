import type { AdminClient, PlacementAnswer } from "./admin-client.ts";
import { ChatLoop } from "./chat-loop.ts";
import type { DemoStage } from "./demo-stage.ts";
import { describe, waitFor, watchRelease, watchSwitch } from "./demo-watch.ts";
import { UserError } from "./user-error.ts";

/**
 * The demo of placement: all machines hold one model, clients turn to the other, and nobody gives an order. What is refused
 * counts as demand; shadow mode shows the plan that follows from it, and enforce carries it out. Afterwards the flags are
 * as they were before the demo: with the gate off, that gives the machine back without a restart.
 */

export interface Shift {
  /** It has both models on its disk and is pinned to the one that clients turn away from. */
  readonly machineId: string;
  readonly from: string;
  /** No machine holds it. */
  readonly to: string;
}

/** A client that is refused comes back after this long: four of them a second are demand enough for a machine. */
const PAUSE_MS = 250;

const FLAGS = [
  ["pool_exhausted_429", "on"],
  ["assignment_gate", "on"],
  ["tick_seconds", "5"],
  ["min_dwell_seconds", "0"],
  ["placement", "shadow"],
] as const;

/** @throws UserError if the machine is not moved, or an answer came from the wrong model. */
export async function demoPlacement(
  { admin, flags, baseUrl, apiKey, print }: DemoStage,
  { machineId, from, to }: Shift,
): Promise<void> {
  print(`\nDemand moves from ${from} to ${to}, and nobody gives an order:`);
  for (const [name, value] of FLAGS) await flags.set(name, value);
  const startedAt = performance.now();
  const say = (line: string): void => {
    print(`${((performance.now() - startedAt) / 1000).toFixed(2).padStart(6)} s  ${line}`);
  };
  await admin.unpin(machineId);
  const clients = new ChatLoop(baseUrl, apiKey, to, PAUSE_MS);
  clients.start();
  const { what, retryAfterS } = await clients.refused();
  say(`clients ask for ${to}: ${what}, Retry-After ${retryAfterS} s; each refusal counts as demand`);
  const planned = await plannedMove(admin, machineId, to, false);
  const { from: leaves, to: joins, reason } = planned;
  say(`shadow      would move ${machineId}: ${leaves ?? "nothing"} -> ${joins} (${reason})`);
  for (const line of [gainText(planned), ...(await reasons(admin, machineId))]) {
    print(`                      ${line}`);
  }
  await flags.set("placement", "enforce");
  const { epoch } = await plannedMove(admin, machineId, to, true);
  say(`enforce     moves it, epoch ${epoch}`);
  await watchSwitch(admin, machineId, to, (machine) => say(describe(machine)));
  await clients.answered();
  say(`the first client of ${to} got its answer`);
  await clients.stop();
  print(`  meanwhile   ${clients.summary()}`);
  if (clients.hasWrongAnswer()) throw new UserError("An answer came from the wrong model.");
  await flags.giveBack();
  // The demo runs only in a fleet whose gate was off before.
  await watchRelease(admin, machineId);
  print(`  flags reset ${machineId} is unmanaged again and serves both models, one at a time`);
}

type Move = PlacementAnswer["moves"][number];

/** The machine's move in the newest plan that has one: one that is only shown, or one that was ordered. */
async function plannedMove(
  admin: AdminClient,
  machineId: string,
  to: string,
  isOrdered: boolean,
): Promise<Move> {
  return waitFor(async () => {
    const { moves } = await admin.placement();
    const move = moves.find((candidate) => candidate.machine_id === machineId && candidate.to === to);
    return move !== undefined && (move.epoch !== null) === isOrdered ? move : null;
  }, `placement did not plan to move ${machineId} to ${to}`);
}

/** What the move is worth to both pools, and how much it has to be. */
function gainText({ from, to, reason, won_rps, lost_rps, gate_rps }: Move): string {
  const lost = from === null ? "" : `, ${from} loses ${lost_rps.toFixed(2)}`;
  const gate =
    reason === "first_machine"
      ? "a pool's first machine needs no minimum gain"
      : `minimum gain ${gate_rps.toFixed(2)}`;
  return `weighted requests/s: ${to} gains ${won_rps.toFixed(2)}${lost}; ${gate}`;
}

/** The demand that the plan is based on, and why it leaves the other machines where they are. */
async function reasons(admin: AdminClient, machineId: string): Promise<string[]> {
  const { models, machines } = await admin.placement();
  return [
    ...models.map(
      ({ model_id, offered, demand_rps, capacity_rps, desired }) =>
        `${model_id}: ${offered ?? 0} requests in the last tick, demand ${demand_rps.toFixed(2)}/s, ` +
        `capacity ${capacity_rps.toFixed(2)}/s, desired machines ${desired}`,
    ),
    ...machines
      .filter((machine) => machine.machine_id !== machineId)
      .map(({ machine_id, reason }) => `${machine_id} stays: ${reason}`),
  ];
}
