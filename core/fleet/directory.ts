import type { MachineId, ModelId } from "../../protocol/ids.ts";
import type { ApiError } from "../api-error.ts";
import { poolsFor, type Catalog, type CatalogEntry } from "../catalog.ts";
import type { Flags } from "../flags.ts";
import type { Supply } from "../pool/settings.ts";
import { unmanageableBecause, type FleetStore, type Machine } from "./machine.ts";

/** The registered machines and the catalog: who could serve what. */
export class Directory {
  readonly #store: FleetStore;
  readonly #machines = new Map<MachineId, Machine>();
  readonly #countByOwner = new Map<string, number>();
  /** In force; null before the first one was read. Machines learn at the next tick which pools they should be in. */
  catalog: Catalog | null = null;

  constructor(store: FleetStore) {
    this.#store = store;
    for (const machine of store.machines()) this.note(machine);
  }

  get(machineId: MachineId): Machine | null {
    return this.#machines.get(machineId) ?? null;
  }

  all(): Iterable<Machine> {
    return this.#machines.values();
  }

  /** How many machines an owner has. */
  countOf(owner: string): number {
    return this.#countByOwner.get(owner) ?? 0;
  }

  /** The machines whose last register came with this provider token. */
  withToken(tokenId: string): MachineId[] {
    return [...this.#machines.values()]
      .filter((machine) => machine.tokenId === tokenId)
      .map(({ machineId }) => machineId);
  }

  save(machine: Machine): void {
    this.#store.saveMachine(machine);
    this.note(machine);
  }

  remove(machineId: MachineId): void {
    this.#store.removeMachine(machineId);
    const owner = this.get(machineId)?.owner;
    if (owner !== undefined) this.#countByOwner.set(owner, this.countOf(owner) - 1);
    this.#machines.delete(machineId);
  }

  /** Updates the machine in memory. It is not saved yet, because the caller decides on its pools first. */
  note(machine: Machine): void {
    const { machineId, owner } = machine;
    if (!this.#machines.has(machineId)) this.#countByOwner.set(owner, this.countOf(owner) + 1);
    this.#machines.set(machineId, machine);
  }

  entry(modelId: string): CatalogEntry | undefined {
    return this.catalog?.find(modelId);
  }

  /** Pools that an unmanaged machine should hold sockets to. Without a catalog, it keeps those it has. */
  poolsOf(machineId: MachineId): readonly ModelId[] {
    const machine = this.get(machineId);
    if (machine === null) return [];
    return this.catalog === null ? machine.pools : poolsFor(this.catalog, modelIds(machine));
  }

  /** Whether the machine's provider is new enough for orders (C16); true for unknown machines. */
  knowsOrders(machineId: MachineId, flags: Flags): boolean {
    const machine = this.get(machineId);
    return machine === null || unmanageableBecause(machine, flags)?.code !== "provider_too_old";
  }

  /** How many machines have the model or could hold it (H23). */
  supply(modelId: string, flags: Flags, now: number): Supply {
    const entry = this.entry(modelId);
    let have = 0;
    let couldHold = 0;
    for (const machine of this.#machines.values()) {
      const has = modelIds(machine).some((id) => id === modelId);
      if (has) have += 1;
      const isEligible = unmanageableBecause(machine, flags) === null;
      const fits = entry !== undefined && machine.hardware.memory_gb >= entry.min_ram_gb;
      if (has || (isEligible && fits)) couldHold += 1;
    }
    return { have, couldHold, at: now };
  }
}

export function modelIds({ models }: Machine): ModelId[] {
  return models.map(({ id }) => id);
}

export function unknownMachine(machineId: string): ApiError {
  return { code: "not_found", message: `no machine with the id "${machineId}" has registered` };
}
