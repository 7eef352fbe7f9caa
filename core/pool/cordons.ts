import type { MachineId } from "../../protocol/ids.ts";

/**
 * Machines that an operator keeps requests away from, as the pool has heard. Calls and answers of the fleet come in any order, so
 * each word says from when it is, and the newest counts. That a machine is cordoned is kept over its sockets and over restarts:
 * one that comes back while the fleet is silent is let in by what the pool knows (H19), and is cordoned all the same.
 */

/** The fleet's word on one machine. */
export interface CordonWord {
  readonly isCordoned: boolean;
  /** When that was decided, ms since the epoch; of two words the later counts. */
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
