import type { MachineId, ModelId } from "../../protocol/ids.ts";
import type { ApiError } from "../api-error.ts";
import type { FlagName } from "../flags.ts";
import { modelIds, unknownMachine, type Directory } from "./directory.ts";
import type { FlagBook } from "./flag-book.ts";
import type { Handover } from "./handover.ts";
import type { Intents } from "./intents.ts";
import { EPOCHS_USED_UP, hasEpochLeft, unmanageableBecause, type Intent } from "./machine.ts";

/**
 * Decides which orders are given: by an operator, by a plan, because of a flag, or because a model is no longer offered. This
 * file decides whether an order is allowed and changes anything; the handover carries it out.
 */

/** Flags whose change may release machines that hold a model by order. */
const RELEASING_FLAGS: ReadonlySet<FlagName> = new Set(["assignment_gate", "assign_min_provider_version"]);

export type PinVerdict =
  | { readonly ok: true; readonly machineId: string; readonly modelId: string; readonly epoch: number }
  | { readonly ok: false; readonly error: ApiError };

type Pinnable =
  | { readonly ok: true; readonly model: ModelId }
  | { readonly ok: false; readonly error: ApiError };

export class Orders {
  readonly #flagBook: FlagBook;
  readonly #directory: Directory;
  readonly #intents: Intents;
  readonly #handover: Handover;

  constructor(flagBook: FlagBook, directory: Directory, intents: Intents, handover: Handover) {
    this.#flagBook = flagBook;
    this.#directory = directory;
    this.#intents = intents;
    this.#handover = handover;
  }

  /**
   * An operator gives a machine a model by hand. It ignores dwell, cooldowns and budgets. If that is what the machine holds
   * or is on its way to, nothing is ordered (C18), but placement leaves it there from now on.
   */
  pin(machineId: MachineId, modelId: string, now: number): PinVerdict {
    const verdict = this.#pinnable(machineId, modelId);
    if (!verdict.ok) return verdict;
    const { model } = verdict;
    const intent = this.assign(machineId, model, "pinned", true, now);
    if (intent === null) return { ok: false, error: epochsUsedUp(machineId) };
    return { ok: true, machineId, modelId: model, epoch: intent.epoch };
  }

  /** Why `pin` would refuse it; null if it would not. */
  whyNotPinned(machineId: MachineId, modelId: string): ApiError | null {
    const verdict = this.#pinnable(machineId, modelId);
    if (!verdict.ok) return verdict.error;
    const current = this.#intents.get(machineId);
    const isPossible = holds(current, verdict.model) || hasEpochLeft(current);
    return isPossible ? null : epochsUsedUp(machineId);
  }

  /** Whether a machine may hold a model by hand, and which one is meant; not whether an order is left for it. */
  #pinnable(machineId: MachineId, modelId: string): Pinnable {
    const refuse = (error: ApiError): Pinnable => ({ ok: false, error });
    const { flags } = this.#flagBook;
    if (flags.assignment_gate === "off") {
      const message = 'machines are not assigned while the flag assignment_gate is "off"; switch it on first';
      return refuse({ code: "gate_off", message });
    }
    const machine = this.#directory.get(machineId);
    if (machine === null) return refuse(unknownMachine(machineId));
    const model = this.#directory.entry(modelId);
    if (model === undefined) {
      const message = `the model "${modelId}" is not in the catalog`;
      return refuse({ code: "model_not_found", message, param: "model_id" });
    }
    const obstacle = unmanageableBecause(machine, flags);
    if (obstacle !== null) return refuse({ code: "machine_not_assignable", message: obstacle.message });
    if (!modelIds(machine).includes(model.id)) {
      const message = `machine "${machineId}" does not have "${model.id}" on its disk`;
      return refuse({ code: "machine_not_assignable", message, param: "model_id" });
    }
    return { ok: true, model: model.id };
  }

  /** Gives a machine a model, unless that is what it has already (C18). @returns null if there is no epoch left for it. */
  assign(
    machineId: MachineId,
    model: ModelId,
    reason: string,
    isPinned: boolean,
    now: number,
  ): Intent | null {
    const current = this.#intents.get(machineId);
    if (holds(current, model)) {
      if (isPinned) this.#intents.pin(machineId);
      return current;
    }
    return this.#handover.begin({ machineId, model, reason, isPinned }, now);
  }

  /** Makes a machine unmanaged; without effect on one that is already (C7). @returns why it cannot be, or null. */
  release(machineId: MachineId, reason: string, now: number): ApiError | null {
    if ((this.#intents.get(machineId)?.model ?? null) === null) return null;
    const intent = this.#handover.begin({ machineId, model: null, reason, isPinned: false }, now);
    return intent === null ? epochsUsedUp(machineId) : null;
  }

  /** Why `release` would refuse it; null if it would not. */
  whyNotReleased(machineId: MachineId): ApiError | null {
    const intent = this.#intents.get(machineId);
    return (intent?.model ?? null) === null || hasEpochLeft(intent) ? null : epochsUsedUp(machineId);
  }

  /** Releases the machines of models that have left the catalog. */
  releaseFrom(models: readonly ModelId[], now: number): void {
    for (const model of models) {
      for (const machineId of this.#intents.assignedTo(model)) {
        this.release(machineId, "its model has left the catalog", now);
      }
    }
  }

  /** Brings what is ordered in line with the flags: the gate, the least provider version, private machines (H14, H17). */
  obeyFlags(now: number): void {
    for (const { machineId } of this.#directory.all()) this.obeyFlagsFor(machineId, now);
  }

  obeyFlagsFor(machineId: MachineId, now: number): void {
    const reason = this.#whyToRelease(machineId);
    if (reason !== null) this.release(machineId, reason, now);
  }

  /**
   * Machines that hold a model against this flag although it was obeyed, since no order is left by which to release them.
   * Those that are shut out serve nobody as it is.
   */
  heldAgainst(flag: FlagName): MachineId[] {
    if (!RELEASING_FLAGS.has(flag)) return [];
    return [...this.#directory.all()]
      .filter(({ machineId, isQuarantined }) => !isQuarantined && this.#whyToRelease(machineId) !== null)
      .map(({ machineId }) => machineId);
  }

  /** Null if the flags let the machine keep its model, or it has none by order. */
  #whyToRelease(machineId: MachineId): string | null {
    const machine = this.#directory.get(machineId);
    if (machine === null || (this.#intents.get(machineId)?.model ?? null) === null) return null;
    const { flags } = this.#flagBook;
    if (flags.assignment_gate === "off") return "the flag assignment_gate is off";
    return unmanageableBecause(machine, flags)?.message ?? null;
  }
}

/** The model is what the machine has by order, or is on its way to (C18). */
function holds(intent: Intent | null, model: ModelId): intent is Intent {
  return intent !== null && intent.model === model && intent.outcome !== "failed";
}

function epochsUsedUp(machineId: MachineId): ApiError {
  const message = `machine "${machineId}" can be given no order: ${EPOCHS_USED_UP}`;
  return { code: "machine_not_assignable", message };
}
