import type { MachineHost } from "./machine-host.ts";
import type { World } from "./world.ts";

/** Checks that the fleet has converged some time after the last fault. @returns what has not. */
export function whatIsWrong(world: World): string[] {
  const wrong: string[] = [];
  for (const machine of world.machines)
    wrong.push(...ofMachine(world, machine).map((what) => `${machine.id} ${what}`));
  for (const pool of world.pools) {
    for (const { id } of pool.open()) wrong.push(`[6] ${id} is still open in ${pool.model}`);
    const { inFlight, queued } = pool.report();
    if (inFlight + queued > 0) wrong.push(`${pool.model} counts ${inFlight} in flight and ${queued} queued`);
  }
  return wrong;
}

function ofMachine(world: World, machine: MachineHost): string[] {
  const { id, models } = machine;
  const { fleet, pools, wanted } = world;
  const wrong: string[] = [];
  const intent = fleet.intent(id);
  if (!machine.isRunning) return ["does not run"];
  if (intent !== null && intent.phase !== "done") {
    wrong.push(`has an open order: ${intent.model}@${intent.epoch} ${intent.phase} since ${intent.phaseAt}`);
  }
  const want = wanted.get(id);
  const isOverruled = world.isPlacing && intent?.isPinned !== true;
  if (want !== undefined && !isOverruled && (intent?.model ?? null) !== want) {
    wrong.push(`belongs to ${intent?.model ?? null}, but the operator wants ${want}`);
  }
  const members = fleet.core.memberships.of(id).toSorted().join(" ");
  const routable = pools
    .filter((pool) => pool.report().machines.some((row) => row.machineId === id && row.blockedBy === null))
    .map(({ model }) => model)
    .toSorted()
    .join(" ");
  const isCordoned = fleet.core.directory.get(id)?.cordonedAt != null;
  if (isCordoned && routable !== "") wrong.push(`is cordoned and routable in ${routable}`);
  if (intent?.model == null) {
    const own = [...models].toSorted().join(" ");
    if (members !== own) wrong.push(`is unmanaged with memberships ${members} instead of ${own}`);
    if (!isCordoned && routable !== own)
      wrong.push(`is unmanaged and routable in ${routable} instead of ${own}`);
    return wrong;
  }
  if (intent.outcome === "failed") {
    const isCooling = fleet.disk
      .cooldowns()
      .some((row) => row.machineId === id && row.model === intent.model);
    if (!isCooling) wrong.push(`has failed ${intent.model}@${intent.epoch} and does not cool down`);
    return wrong;
  }
  const record = world.poolOf(intent.model).record(id);
  const expected = `assigned@${intent.epoch}`;
  const actual = `${record?.mode ?? "none"}@${record?.epoch ?? 0}`;
  if (actual !== expected) wrong.push(`is ${actual} in ${intent.model} instead of ${expected}`);
  const loaded = machine.engine?.loaded?.model.id ?? "nothing";
  if (loaded !== intent.model) wrong.push(`has ${loaded} loaded instead of ${intent.model}`);
  if (members !== intent.model)
    wrong.push(`is managed with memberships ${members} instead of ${intent.model}`);
  if (!isCordoned && routable !== intent.model)
    wrong.push(`is managed and routable in "${routable}" instead of ${intent.model}`);
  return wrong;
}
