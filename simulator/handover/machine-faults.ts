import { ownedMachines } from "../../core/fleet/owned-machines.ts";
import { OWNED_MACHINES_TTL_MS } from "../../core/limits.ts";
import type { OwnerRoute } from "../../core/pool/owner-route.ts";
import type { MachineHost } from "./machine-host.ts";
import type { World } from "./world.ts";

/** What happens to single Macs: their owners stop or reserve them, use them, they sleep, forget, and come twice. */

export type MachineFault = "quit" | "sleep" | "restore" | "clone" | "private" | "reserve" | "visit";

/** Relative frequency of each fault. */
export const MACHINE_FAULTS: readonly (readonly [MachineFault, number])[] = [
  ["quit", 3],
  ["sleep", 3],
  ["restore", 2],
  ["clone", 2],
  ["private", 1],
  ["reserve", 2],
  ["visit", 6],
];

export class MachineFaults {
  readonly #world: World;
  readonly #clones = new Set<MachineHost>();

  constructor(world: World) {
    this.#world = world;
  }

  act(kind: MachineFault, machine: MachineHost): void {
    const { clock, dice } = this.#world;
    const startLater = (): void => void clock.after(dice.whole(100, 40_000), () => machine.start());
    switch (kind) {
      case "quit":
        machine.quit();
        startLater();
        return;
      case "sleep":
        machine.sleep(dice.pick([dice.whole(1000, 20_000), dice.whole(20_000, 300_000)]));
        return;
      case "restore":
        machine.restore();
        startLater();
        return;
      case "clone":
        this.#clone(machine);
        return;
      case "private":
        this.#setPrivate(machine, !machine.isPrivate);
        startLater();
        return;
      case "reserve":
        machine.reserve("its owner is there");
        clock.after(dice.whole(1000, 60_000), () => machine.reserve(null));
        return;
      case "visit":
        for (let requests = dice.whole(1, 3); requests > 0; requests--) this.#visit(machine);
    }
  }

  /** Each id belongs to one machine again, and all serve everybody. */
  end(): void {
    for (const clone of this.#clones) clone.kill();
    for (const machine of this.#world.machines) {
      machine.reserve(null);
      if (machine.isPrivate) this.#setPrivate(machine, false);
    }
  }

  #clone(machine: MachineHost): void {
    const { clock, dice } = this.#world;
    const clone = machine.clone();
    this.#clones.add(clone);
    clone.start();
    clock.after(dice.whole(5000, 120_000), () => clone.kill());
  }

  /** Its owner asks for a model of the machine, by what the Worker has learned of his machines some seconds ago. */
  #visit(machine: MachineHost): void {
    const { clock, dice, fleet, requested, requestedByOwners } = this.#world;
    if (fleet.isDown) return;
    const model = dice.pick(machine.models);
    const owned = ownedMachines(machine.owner, fleet.core.directory, fleet.core.intents);
    const mine = owned.find(({ machineId, models }) => machineId === machine.id && models.includes(model));
    if (mine === undefined) return;
    const pool = mine.pool ?? model;
    const here = owned.filter((one) => one.models.includes(model) && (one.pool ?? model) === pool);
    const route: OwnerRoute = {
      machines: new Set(here.map(({ machineId }) => machineId)),
      otherwise: dice.pick(pool === model ? ["wait", "decline", "public"] : ["wait", "decline"]),
      isSwitching: here.some(({ isSwitching }) => isSwitching),
    };
    const id = this.#world.nextRequest();
    requested.set(id, model);
    requestedByOwners.add(id);
    clock.after(dice.whole(1, OWNED_MACHINES_TTL_MS), () => {
      this.#world.poolOf(pool).submit(id, dice.chance(0.7), model, route);
    });
  }

  #setPrivate(machine: MachineHost, isPrivate: boolean): void {
    machine.isPrivate = isPrivate;
    machine.wasUnmanageable = true;
    // The outcome depends on which came first, the operator's order or the register.
    this.#world.wanted.delete(machine.id);
    machine.kill();
  }
}
