import type { MachineId } from "../../protocol/ids.ts";

/**
 * Cordons of machines, as this pool knows them. Calls and answers of the fleet arrive in any order, so each carries a
 * timestamp, and the newest counts. Cordons are kept without a socket and across restarts: a machine that comes back while the
 * fleet is down is admitted by the pool's own records (H19), and must still be cordoned.
 */

/** The fleet's decision about one machine. */
export interface CordonWord {
  readonly isCordoned: boolean;
  /** When it was decided, ms since the epoch; the latest counts. */
  readonly cordonAsOf: number;
}

export interface CordonStore {
  /** The words by which machines are cordoned. */
  all(): Iterable<readonly [machineId: MachineId, asOf: number]>;
  put(machineId: MachineId, asOf: number): void;
  remove(machineId: MachineId): void;
}

export class Cordons {
  readonly #words = new Map<MachineId, CordonWord>();
  readonly #store: CordonStore;

  constructor(store: CordonStore) {
    this.#store = store;
    for (const [machineId, cordonAsOf] of store.all()) {
      this.#words.set(machineId, { isCordoned: true, cordonAsOf });
    }
  }

  has(machineId: MachineId): boolean {
    return this.#words.get(machineId)?.isCordoned === true;
  }

  /** @returns whether it is cordoned now. */
  heard(machineId: MachineId, { isCordoned, cordonAsOf }: CordonWord): boolean {
    const known = this.#words.get(machineId);
    if (known !== undefined && cordonAsOf <= known.cordonAsOf) return known.isCordoned;
    this.#words.set(machineId, { isCordoned, cordonAsOf });
    if (isCordoned) this.#store.put(machineId, cordonAsOf);
    else if (known?.isCordoned === true) this.#store.remove(machineId);
    return isCordoned;
  }

  /** The machine is not known here any more. */
  forget(machineId: MachineId): void {
    if (this.has(machineId)) this.#store.remove(machineId);
    this.#words.delete(machineId);
  }
}
