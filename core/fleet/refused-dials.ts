import type { MachineId, ModelId } from "../../protocol/ids.ts";
import type { Dialer } from "./doorway.ts";

/**
 * Machines that are turned away because the model they name is in no catalog. Nothing else knows of them: they have
 * never registered, and their owners wait for an operator who cannot see them. Kept in memory, since they come again.
 */

/** Twice as long as our provider waits at most before it asks again. */
export const REFUSED_DIAL_MS = 600_000;

/** The oldest makes room for one more: whoever has a token may make up as many ids and models as they like. */
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

  /** It has found a pool. */
  forget(machineId: MachineId): void {
    for (const [name, dial] of this.#dials) if (dial.machineId === machineId) this.#dials.delete(name);
  }

  /** Those of the last ten minutes whose model is still in no catalog, the latest first. */
  list(isInCatalog: (model: ModelId) => boolean, now: number): RefusedDial[] {
    return [...this.#dials.values()]
      .filter(({ model, at }) => now - at < REFUSED_DIAL_MS && !isInCatalog(model))
      .toReversed();
  }
}
