import type { MachineHost } from "./machine-host.ts";
import type { World } from "./world.ts";

/** Operators who give random orders. The last order for each machine is recorded, because the fleet must converge to it. */
export class Operators {
  readonly #world: World;

  constructor(world: World) {
    this.#world = world;
  }

  /** One of them does one thing. */
  act(): void {
    const { dice, fleet, machines, models, wanted } = this.#world;
    const machine = dice.pick(machines);
    const roll = dice.next();
    if (roll < 0.6) {
      const model = dice.pick(models);
      const verdict = fleet.operate((core, now) => core.orders.pin(machine.id, model, now));
      this.#world.log(() => `OPERATOR pins ${machine.id} to ${model}: ${JSON.stringify(verdict)}`);
      // A late register of an earlier start with an old version may still undo it.
      if (verdict.ok && !machine.wasUnmanageable) wanted.set(machine.id, model);
      else if (verdict.ok) wanted.delete(machine.id);
    } else if (roll < 0.8) {
      this.#world.log(() => `OPERATOR releases ${machine.id}`);
      fleet.operate((core, now) => core.orders.release(machine.id, "an operator", now));
      wanted.set(machine.id, null);
    } else if (roll < 0.9) {
      const value = fleet.core.flagBook.flags.assignment_gate === "on" ? "off" : "on";
      this.#world.log(() => `OPERATOR sets the gate ${value}`);
      fleet.setFlag("assignment_gate", value);
      if (value === "off") for (const { id } of machines) wanted.set(id, null);
    } else if (roll < 0.95) {
      const isCordoned = fleet.core.directory.get(machine.id)?.cordonedAt == null;
      this.#world.log(() => `OPERATOR ${isCordoned ? "cordons" : "uncordons"} ${machine.id}`);
      fleet.operate((core, now) => core.cordons.set(machine.id, isCordoned, now));
    } else {
      const isIn = fleet.core.directory.get(machine.id)?.isQuarantined !== true;
      this.#world.log(() => `OPERATOR ${isIn ? "quarantines" : "readmits"} ${machine.id}`);
      if (isIn) fleet.operate((core, now) => core.quarantine(machine.id, now));
      else {
        fleet.operate((core) => core.readmit(machine.id));
        this.#world.clock.after(dice.whole(0, 10_000), () => machine.start());
      }
      wanted.set(machine.id, null);
    }
  }

  /** A machine goes for good, its operator deletes it, and after all it comes back: before, amid or after that. */
  retire(): void {
    const { clock, dice, machines } = this.#world;
    const machine = dice.pick(machines);
    this.#world.log(() => `FAULT ${machine.id} goes`);
    machine.kill();
    const backAfterMs = dice.whole(60_000, 300_000);
    clock.after(backAfterMs, () => machine.start());
    for (let attempts = dice.whole(1, 5); attempts > 0; attempts--) {
      clock.after(dice.whole(60_000, backAfterMs + 5000), () => this.#delete(machine));
    }
  }

  #delete({ id }: MachineHost): void {
    const { clock, dice, fleet, wanted } = this.#world;
    if (fleet.isDown) return;
    const askedAt = fleet.askAbout(id);
    clock.after(dice.whole(1, 3000), () => {
      const error = fleet.operate((core, now) => core.remove(id, askedAt, now));
      this.#world.log(() => `OPERATOR deletes ${id}: ${error?.message ?? "deleted"}`);
      if (error !== null) return;
      wanted.set(id, null);
      this.#world.deletions += 1;
    });
  }
}
