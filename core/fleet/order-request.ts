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
  const { from, rivals } = before === null ? NOBODY : holdersOf(before);
  const holders = from === null ? [] : [...rivals, from];
  const pending = new Set([...members, ...(before?.pending ?? [])]);
  // Its own pool is asked as well if another may have the machine on record, too.
  const isAsked = rivals.length > 0 && holders.some((holder) => holder === model);
  if (model !== null && !isAsked) pending.delete(model);
  const others = [...pending].filter((pool) => !holders.includes(pool));
  return {
    machineId,
    epoch,
    model,
    from,
    reason,
    phase: "releasing",
    outcome: null,
    error: null,
    pending: [...holders.filter((pool) => pending.has(pool)), ...others.toSorted()],
    isHeard: false,
    isPinned,
    startedAt: now,
    phaseAt: now,
    rounds: 0,
    retryAt: now,
  };
}

/** The pools that may have a machine on record as theirs. Without rivals it is one at most. */
interface Holders {
  readonly from: ModelId | null;
  readonly rivals: readonly string[];
}

const NOBODY: Holders = { from: null, rivals: [] };

/**
 * Until an order's releases are all confirmed the machine is still the one's before it, and the order's own pool knows nothing
 * yet. Of an order that was not understood nobody knows how far it has come, so it may be either's.
 */
function holdersOf(intent: Intent): Holders {
  const { phase, from, pending, model } = intent;
  if (isUnread(intent)) {
    const rivals = model === null || from === null || from === model ? [] : [from];
    return { from: model ?? from, rivals };
  }
  if (phase !== "releasing") return { from: model, rivals: [] };
  // An order back to that very pool does not ask it to let go.
  const isHeld = from !== null && (from === model || pending.includes(from));
  return isHeld ? { from, rivals: rivalsOf(intent) } : NOBODY;
}

/** They stand before the pool that the machine comes from. */
function rivalsOf({ from, pending }: Intent): readonly string[] {
  return from === null ? [] : pending.slice(0, Math.max(0, pending.indexOf(from)));
}

/** What is asked next, and of which pools. */
export interface ReleaseStep {
  readonly kind: "release" | "unmanage";
  readonly pools: readonly string[];
}

/**
 * A machine that becomes unmanaged leaves the pool that may route to it before any other pool may (H17): rivals release it
 * before that pool is freed, and come to serve it like the others only after that.
 */
export function releaseStepOf(intent: Intent): ReleaseStep {
  const { model, from, pending } = intent;
  const rivals = rivalsOf(intent);
  if (rivals.length > 0) return { kind: "release", pools: rivals };
  if (model !== null) return { kind: "release", pools: pending };
  return { kind: "unmanage", pools: from !== null && pending[0] === from ? [from] : pending };
}

/** The pools that are left to ask once one has done what it was asked to. */
export function pendingAfter(intent: Intent, pool: string): readonly string[] {
  const rest = intent.pending.filter((name) => name !== pool);
  const isToBeFreed = intent.model === null && rivalsOf(intent).includes(pool);
  return isToBeFreed ? [...rest, pool] : rest;
}

/** The pools to ask once one more may come to know the machine; the one that has it on record stays the first. */
export function pendingWith({ from, pending }: Intent, pool: string): readonly string[] {
  return pool === from ? [pool, ...pending] : [...pending, pool];
}

/**
 * An order that this version does not understand, written by a later one: no pool is asked to release the machine. A report may
 * show that its pool has carried it out; after one round without that it is given anew.
 */
export function isUnread({ phase, pending }: Intent): boolean {
  return phase === "releasing" && pending.length === 0;
}
