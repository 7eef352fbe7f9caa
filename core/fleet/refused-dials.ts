import type { MachineId, ModelId } from "../../protocol/ids.ts";
import type { Dialer } from "./dial-policy.ts";

/**
 * Machines whose dials are refused because the model they name is not in the catalog. They have never registered, so without
 * this list no operator would see them. Kept in memory, because they dial again.
 */

/** Twice the longest interval between two dials of our provider. */
export const REFUSED_DIAL_MS = 600_000;

/** Limited, because whoever has a token can invent ids and models. The oldest entry is dropped. */
export const REFUSED_DIALS_MAX = 100;

export interface RefusedDial {
  readonly machineId: MachineId;
  readonly owner: string;
  /** What it offers, and is in no catalog. */
  readonly model: ModelId;
  /** When it asked last. */
  readonly at: number;
}

export class RefusedDials {
  /** By machine and model, the longest ago first. */
  readonly #dials = new Map<string, RefusedDial>();

  note({ machineId, owner }: Dialer, model: ModelId, at: number): void {
    const name = `${machineId} ${model}`;
    this.#dials.delete(name);
    this.#dials.set(name, { machineId, owner, model, at });
    const [oldest] = this.#dials.keys();
    if (this.#dials.size > REFUSED_DIALS_MAX && oldest !== undefined) this.#dials.delete(oldest);
  }

  /** Removes a machine that was admitted to a pool. */
  forget(machineId: MachineId): void {
    for (const [name, dial] of this.#dials) if (dial.machineId === machineId) this.#dials.delete(name);
  }

  /** Refused dials of the last ten minutes whose model is still not in the catalog, newest first. */
  list(isInCatalog: (model: ModelId) => boolean, now: number): RefusedDial[] {
    return [...this.#dials.values()]
      .filter(({ model, at }) => now - at < REFUSED_DIAL_MS && !isInCatalog(model))
      .toReversed();
  }
}
