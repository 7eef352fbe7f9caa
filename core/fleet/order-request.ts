import type { Epoch, MachineId, ModelId } from "../../protocol/ids.ts";
import type { Intent } from "./machine.ts";

/** A request for an order, and the intent that it becomes: which pools have to release the machine, and in which order. */

export interface OrderRequest {
  readonly machineId: MachineId;
  /** Null releases the machine. */
  readonly model: ModelId | null;
  readonly reason: string;
  readonly isPinned: boolean;
}

/**
 * The intent of a requested order, before any pool is called.
 * @param before the machine's newest order, whose open releases are taken over (H4); null if there is none.
 * @param members the pools that may know the machine.
 */
export function intentFor(
  { machineId, model, reason, isPinned }: OrderRequest,
  epoch: Epoch,
  before: Intent | null,
  members: readonly string[],
  now: number,
): Intent {
  const holder = before === null ? null : holderOf(before);
  const pending = new Set([...members, ...(before?.pending ?? [])]);
  if (model !== null) pending.delete(model);
  return {
    machineId,
    epoch,
    model,
    from: holder,
    reason,
    phase: "releasing",
    outcome: null,
    error: null,
    pending: [...pending].toSorted((a, b) => Number(b === holder) - Number(a === holder) || (a < b ? -1 : 1)),
    isHeard: false,
    isPinned,
    startedAt: now,
    phaseAt: now,
    rounds: 0,
    retryAt: now,
  };
}

/**
 * The pool that may have the machine on record as its own. Until an order's releases are all confirmed that is still the
 * one before it, and the order's own pool knows nothing yet.
 */
function holderOf(intent: Intent): ModelId | null {
  const { phase, from, pending, model } = intent;
  if (isUnread(intent)) return model ?? from;
  if (phase !== "releasing") return model;
  // An order back to that very pool does not ask it to let go.
  return from !== null && (from === model || pending.includes(from)) ? from : null;
}

/** A machine that becomes unmanaged leaves the pool that may route to it before any other pool may (H17). */
export function holderFirst({ model, from, pending }: Intent): boolean {
  return model === null && from !== null && pending[0] === from;
}

/**
 * An order that this version does not understand, written by a later one: no pool is asked to release the machine. A report may
 * show that its pool has carried it out; after one round without that it is given anew.
 */
export function isUnread({ phase, pending }: Intent): boolean {
  return phase === "releasing" && pending.length === 0;
}
