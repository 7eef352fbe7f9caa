import type { MachineId } from "../../protocol/ids.ts";
import type { FleetStore, Membership } from "./machine.ts";

/** Which pools may know which machines (H1): written before a pool can hear of the machine, kept until it is clear. */
export class Memberships {
  readonly #store: FleetStore;
  readonly #byMachine = new Map<MachineId, Map<string, Membership>>();

  constructor(store: FleetStore) {
    this.#store = store;
    for (const membership of store.memberships()) this.#set(membership);
  }

  add(machineId: MachineId, pool: string, now: number): void {
    const membership = { machineId, pool, dialedAt: now };
    this.#store.saveMembership(membership);
    this.#set(membership);
  }

  remove(machineId: MachineId, pool: string): void {
    this.#store.removeMembership(machineId, pool);
    const pools = this.#byMachine.get(machineId);
    pools?.delete(pool);
    if (pools?.size === 0) this.#byMachine.delete(machineId);
  }

  of(machineId: MachineId): string[] {
    return [...(this.#byMachine.get(machineId)?.keys() ?? [])];
  }

  get(machineId: MachineId, pool: string): Membership | null {
    return this.#byMachine.get(machineId)?.get(pool) ?? null;
  }

  get isEmpty(): boolean {
    return this.#byMachine.size === 0;
  }

  machines(): Iterable<MachineId> {
    return this.#byMachine.keys();
  }

  pools(): Set<string> {
    const pools = new Set<string>();
    for (const memberships of this.#byMachine.values())
      for (const pool of memberships.keys()) pools.add(pool);
    return pools;
  }

  inPool(pool: string): Membership[] {
    return [...this.#byMachine.values()].flatMap((memberships) => memberships.get(pool) ?? []);
  }

  #set(membership: Membership): void {
    const pools = this.#byMachine.get(membership.machineId) ?? new Map<string, Membership>();
    pools.set(membership.pool, membership);
    this.#byMachine.set(membership.machineId, pools);
  }
}
