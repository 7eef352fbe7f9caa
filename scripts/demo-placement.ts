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
  say(`shadow      would move ${moveText(planned)}`);
  for (const line of await reasons(admin, machineId)) print(`            ${line}`);
  await flags.set("placement", "enforce");
  const { epoch } = await plannedMove(admin, machineId, to, true);
  say(`enforce     moves it: order of epoch ${epoch}`);
  await watchSwitch(admin, machineId, to, (machine) => say(describe(machine)));
  await clients.answered();
  say(`the first client of ${to} has its answer`);
  await clients.stop();
  print(`  meanwhile   ${clients.summary()}`);
  if (clients.hasWrongAnswer()) throw new UserError("An answer came from the wrong model.");
  await flags.giveBack();
  if ((await admin.flag("assignment_gate")) === "on") {
    print(`  flags back  the gate stays on as before, and ${machineId} keeps ${to}`);
    return;
  }
  await watchRelease(admin, machineId);
  print(`  flags off   ${machineId} is nobody's again and serves both models`);
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
  }, `placement did not think of moving ${machineId} to ${to}`);
}

function moveText({ machine_id, from, to, reason, won_rps, lost_rps, gate_rps }: Move): string {
  const gate = `gate ${gate_rps.toFixed(2)}${reason === "first_machine" ? ", which a pool's first machine need not pass" : ""}`;
  const gain = `wins ${won_rps.toFixed(2)} weighted requests/s there, loses ${lost_rps.toFixed(2)} here, ${gate}`;
  return `${machine_id}: ${from ?? "nothing"} -> ${to}, ${reason}: ${gain}`;
}

/** What the plan went by, and why it left the others alone. */
async function reasons(admin: AdminClient, machineId: string): Promise<string[]> {
  const { models, machines } = await admin.placement();
  return [
    ...models.map(
      ({ model_id, offered, demand_rps, capacity_rps, desired }) =>
        `${model_id}: asked ${offered ?? 0} times since the last look, demand ${demand_rps.toFixed(2)} requests/s, ` +
        `capacity ${capacity_rps.toFixed(2)}, machines wanted ${desired}`,
    ),
    ...machines
      .filter((machine) => machine.machine_id !== machineId)
      .map(({ machine_id, reason }) => `${machine_id} stays: ${reason}`),
  ];
}
