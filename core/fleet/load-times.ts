import type { MachineId, ModelId } from "../../protocol/ids.ts";
import type { PlacementStore } from "./plan-record.ts";

/**
 * How long each machine takes to load each model, learned from the pools' notifications: the time from `loading` to serving.
 * For a model that a machine has never loaded, it is estimated from the size, corrected by how far off the estimates of its
 * other loads were; before its first load, by those of all machines.
 */

/** Share of a new measurement in an average: loads are rare, so each counts much. */
const WEIGHT = 0.5;

/** A shorter load was served from memory and is not measured. */
const LEAST_SECONDS = 1;

/** @param guess seconds by the model's size. */
export type ExpectedSeconds = (machineId: MachineId, model: ModelId, guess: number) => number;

export class LoadTimes {
  readonly #store: PlacementStore;
  readonly #seconds = new Map<MachineId, Map<ModelId, number>>();

  constructor(store: PlacementStore) {
    this.#store = store;
    for (const { machineId, model, seconds } of store.loadTimes()) {
      // Earlier versions kept those, too.
      if (seconds >= LEAST_SECONDS) this.#set(machineId, model, seconds);
    }
  }

  /** @param guessOf seconds by the model's size; null for one that is not in the catalog. */
  expected(guessOf: (model: ModelId) => number | null): ExpectedSeconds {
    const whole = { took: 0, guessed: 0 };
    const paces = new Map<MachineId, number>();
    for (const [machineId, models] of this.#seconds) {
      const own = { took: 0, guessed: 0 };
      for (const [model, seconds] of models) {
        const guess = guessOf(model);
        if (guess === null) continue;
        own.took += seconds;
        own.guessed += guess;
      }
      if (own.guessed === 0) continue;
      paces.set(machineId, own.took / own.guessed);
      whole.took += own.took;
      whole.guessed += own.guessed;
    }
    const usual = whole.guessed === 0 ? 1 : whole.took / whole.guessed;
    return (machineId, model, guess) =>
      this.#seconds.get(machineId)?.get(model) ?? guess * (paces.get(machineId) ?? usual);
  }

  /** A load has ended well. */
  learn(machineId: MachineId, model: ModelId, took: number): void {
    // No number at all comes from a pool that still runs an older version.
    if (!(took >= LEAST_SECONDS)) return;
    const before = this.#seconds.get(machineId)?.get(model) ?? null;
    const seconds = before === null ? took : before + WEIGHT * (took - before);
    this.#set(machineId, model, seconds);
    this.#store.saveLoadTime({ machineId, model, seconds });
  }

  forget(machineId: MachineId): void {
    this.#seconds.delete(machineId);
    this.#store.removeLoadTimes(machineId);
  }

  #set(machineId: MachineId, model: ModelId, seconds: number): void {
    const own = this.#seconds.get(machineId) ?? new Map<ModelId, number>();
    this.#seconds.set(machineId, own.set(model, seconds));
  }
}
