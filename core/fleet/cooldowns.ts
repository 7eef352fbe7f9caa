import type { MachineId, ModelId } from "../../protocol/ids.ts";
import type { Cooldown, FleetStore } from "./machine.ts";

/** Cooldowns of pairs of machine and model after a failed load. Cached in memory, because every event asks for the next end. */
export class Cooldowns {
  readonly #store: Pick<FleetStore, "saveCooldown" | "removeCooldown">;
  readonly #byMachine = new Map<MachineId, Map<ModelId, Cooldown>>();

  constructor(store: Pick<FleetStore, "cooldowns" | "saveCooldown" | "removeCooldown">) {
    this.#store = store;
    for (const cooldown of store.cooldowns()) this.#set(cooldown);
  }

  all(): Cooldown[] {
    return [...this.#byMachine.values()].flatMap((models) => [...models.values()]);
  }

  has(machineId: MachineId, model: ModelId | null): boolean {
    return model !== null && this.#byMachine.get(machineId)?.has(model) === true;
  }

  /** When the next cooldown ends, ms since the epoch; null if there is none. */
  nextEndAt(): number | null {
    let next: number | null = null;
    for (const { until } of this.all()) if (next === null || until < next) next = until;
    return next;
  }

  save(cooldown: Cooldown): void {
    this.#store.saveCooldown(cooldown);
    this.#set(cooldown);
  }

  remove({ machineId, model }: Pick<Cooldown, "machineId" | "model">): void {
    this.#store.removeCooldown(machineId, model);
    const models = this.#byMachine.get(machineId);
    models?.delete(model);
    if (models?.size === 0) this.#byMachine.delete(machineId);
  }

  /** Forgets a deleted machine. */
  forget(machineId: MachineId): void {
    for (const cooldown of this.#byMachine.get(machineId)?.values() ?? []) this.remove(cooldown);
  }

  #set(cooldown: Cooldown): void {
    const { machineId, model } = cooldown;
    const models = this.#byMachine.get(machineId) ?? new Map<ModelId, Cooldown>();
    this.#byMachine.set(machineId, models.set(model, cooldown));
  }
}
