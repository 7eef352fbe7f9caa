import type { Epoch, MachineId, ModelId } from "../../protocol/ids.ts";
import type { PoolCall } from "../pool/calls.ts";
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
  const holders = before === null ? [] : holdersOf(before, members);
  const others = [...members, ...(before?.pending ?? [])].toSorted();
  const pending = new Set([...holders, ...others]);
  if (model !== null) pending.delete(model);
  return {
    machineId,
    epoch,
    model,
    from: before === null ? null : cameFrom(before),
    reason,
    phase: "releasing",
    outcome: null,
    error: null,
    pending: [...pending],
    holders,
    isHeard: false,
    isPinned,
    startedAt: now,
    phaseAt: now,
    rounds: 0,
    retryAt: now,
  };
}

/**
 * Of an order that was not understood nobody knows how far it has come, nor what was open before it: each pool that knows the
 * machine may have it on record. The likeliest of them is the last.
 */
function holdersOf(intent: Intent, members: readonly string[]): readonly string[] {
  if (!isUnread(intent)) return intent.holders;
  const likeliest = cameFrom(intent);
  return members.toSorted((a, b) => Number(a === likeliest) - Number(b === likeliest));
}

/** Whose the machine is, as far as anybody knows, when this order is superseded. */
function cameFrom(intent: Intent): ModelId | null {
  const { phase, from, model, holders } = intent;
  if (isUnread(intent)) return from ?? model;
  if (phase !== "releasing") return model;
  return from !== null && holders.includes(from) ? from : null;
}

/** Once all other pools have released the machine, only the ordered one may have it on record. */
export function soleHolder({ model }: Intent): readonly string[] {
  return model === null ? [] : [model];
}

/** What is asked next, and of which pools. */
export interface ReleaseStep {
  readonly kind: "release" | "unmanage";
  readonly pools: readonly string[];
}

/**
 * A machine that becomes unmanaged leaves the pool that may route to it before any other pool may (H17). If several pools may
 * have it on record, all but one of them release it first, and come to serve it like the others only after that.
 */
export function releaseStepOf({ model, pending, holders }: Intent): ReleaseStep {
  if (model !== null) return { kind: "release", pools: pending };
  if (holders.length > 1) return { kind: "release", pools: holders.slice(0, -1) };
  return { kind: "unmanage", pools: holders.length === 1 ? holders : pending };
}

/** The intent once a pool has done what it was asked to. A machine that becomes unmanaged may serve there too, once that is safe. */
export function afterReply(intent: Intent, pool: string, kind: PoolCall["kind"]): Intent {
  const without = (names: readonly string[]): string[] => names.filter((name) => name !== pool);
  const isToBeFreed = intent.model === null && kind === "release";
  return {
    ...intent,
    holders: without(intent.holders),
    pending: isToBeFreed ? intent.pending : without(intent.pending),
  };
}

/**
 * An order that this version does not understand, written by a later one: no pool is asked to release the machine. A report may
 * show that its pool has carried it out; after one round without that it is given anew.
 */
export function isUnread({ phase, pending }: Intent): boolean {
  return phase === "releasing" && pending.length === 0;
}
