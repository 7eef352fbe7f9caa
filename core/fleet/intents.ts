import { NEVER_MANAGED, type Epoch, type MachineId, type ModelId } from "../../protocol/ids.ts";
import { DELETED_MACHINES_KEPT } from "../limits.ts";
import type { Stamp } from "../pool/record.ts";
import { RETRIED, type FleetStore, type Intent, type Switch } from "./machine.ts";

/**
 * The newest order of each machine, which says where the machine belongs, and the history of finished orders. The handover
 * moves orders through their phases; every change is stored here first.
 */
export class Intents {
  readonly #store: FleetStore;
  readonly #byMachine = new Map<MachineId, Intent>();
  /** Those with calls to repeat: few, and asked for with each event. */
  readonly #waiting = new Map<MachineId, number>();

  constructor(store: FleetStore) {
    this.#store = store;
    for (const intent of store.intents()) this.#keep(intent);
  }

  get(machineId: MachineId): Intent | null {
    return this.#byMachine.get(machineId) ?? null;
  }

  all(): Iterable<Intent> {
    return this.#byMachine.values();
  }

  epochOf(machineId: MachineId): Epoch {
    return this.get(machineId)?.epoch ?? NEVER_MANAGED;
  }

  /** The machines that hold a model by order, or are on their way to it. */
  assignedTo(model: string): MachineId[] {
    return [...this.#byMachine.values()]
      .filter((intent) => intent.model === model)
      .map(({ machineId }) => machineId);
  }

  /** The pool that a dialing machine belongs to, with the stamp for it; `pool` is null if the machine may choose. */
  destination(machineId: MachineId): { readonly pool: ModelId | null; readonly stamp: Stamp } {
    const intent = this.get(machineId);
    if (intent === null) return { pool: null, stamp: { mode: "unmanaged", epoch: NEVER_MANAGED } };
    const { epoch, model, phase, outcome } = intent;
    if (model === null) {
      return { pool: null, stamp: { mode: phase === "releasing" ? "released" : "unmanaged", epoch } };
    }
    const isOut = phase === "releasing" || outcome === "failed";
    return { pool: model, stamp: { mode: isOut ? "released" : "managed", epoch } };
  }

  /** The machine is on its way to where it belongs. */
  isSwitching(machineId: MachineId): boolean {
    const intent = this.get(machineId);
    if (intent === null || intent.outcome !== null) return false;
    return intent.model !== null || intent.phase === "releasing";
  }

  /** When the first of them has calls to repeat; null if none has. */
  nextRetryAt(): number | null {
    let next: number | null = null;
    for (const retryAt of this.#waiting.values()) if (next === null || retryAt < next) next = retryAt;
    return next;
  }

  save(intent: Intent): void {
    this.#store.saveIntent(intent);
    this.#keep(intent);
  }

  /** From now on placement leaves the machine alone; what it holds or is on its way to stays. */
  pin(machineId: MachineId): void {
    this.#setPinned(machineId, true);
  }

  /** From now on placement may move the machine; what it holds stays. */
  unpin(machineId: MachineId): void {
    this.#setPinned(machineId, false);
  }

  /**
   * A line of history: an order has ended. Of retries that fail for one reason only the newest has a line, or a machine whose
   * model is missing would fill the history by itself.
   */
  note(intent: Intent, outcome: Switch["outcome"], now: number): void {
    const line = {
      at: now,
      machineId: intent.machineId,
      from: intent.from,
      to: intent.model,
      epoch: intent.epoch,
      reason: intent.reason,
      outcome,
      error: intent.error?.message ?? null,
      tookMs: now - intent.startedAt,
    };
    if (intent.reason === RETRIED && outcome === "failed") this.#store.removeRepeated(line);
    this.#store.addSwitch(line);
  }

  /**
   * Keeps the newest orders of machines that no pool knows any more, so that their epochs continue if they come back. Dropping
   * one does no harm: all pools have forgotten the machine, and an epoch that only the machine remembers is exceeded (H9).
   * @param isKnown whether the fleet still has to do with a machine.
   */
  forgetOldest(isKnown: (machineId: MachineId) => boolean): void {
    const left = [...this.#byMachine.values()].filter(({ machineId }) => !isKnown(machineId));
    left.sort((a, b) => b.phaseAt - a.phaseAt);
    for (const { machineId } of left.slice(DELETED_MACHINES_KEPT)) {
      this.#store.removeIntent(machineId);
      this.#byMachine.delete(machineId);
      this.#waiting.delete(machineId);
    }
  }

  #keep(intent: Intent): void {
    const { machineId, retryAt } = intent;
    this.#byMachine.set(machineId, intent);
    if (retryAt === null) this.#waiting.delete(machineId);
    else this.#waiting.set(machineId, retryAt);
  }

  #setPinned(machineId: MachineId, isPinned: boolean): void {
    const intent = this.get(machineId);
    if (intent !== null && intent.isPinned !== isPinned) this.save({ ...intent, isPinned });
  }
}
