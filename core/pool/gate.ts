import type { ModelId } from "../../protocol/ids.ts";
import { LIVENESS_TIMEOUT_MS } from "../../protocol/limits.ts";
import type { Connection, Registration } from "./connection.ts";
import type { RecordMode } from "./record.ts";

/**
 * The gate: whether a request may be sent to a machine, and if not, why. Routing, the line and the reports all use it, so a
 * machine that is counted can always be used.
 *
 * The gates of `GateReason` say whether a machine is routable at all; those of `RoomReason` whether it has room now.
 */

/** The kind of request for which a machine is checked. */
export type Asker =
  | "public"
  /** A public one in a pool that only open breakers keep from serving: they are ignored then (F9). */
  | "last_resort"
  /**
   * One of the machine's owner (H21), who has no other machine. It may use a private machine, and take a managed one away
   * from its model: then `model`, which the fleet knows to be on its disk, is not the pool's.
   */
  | "owner";

/** Why a machine is not routable. */
export type GateReason =
  | "not_registered"
  | "outdated"
  | "cordoned"
  | Exclude<RecordMode, "unmanaged" | "assigned">
  | "model_not_loaded"
  | "owner_busy"
  | "model_not_on_machine"
  | "not_accepting"
  | "owner_private"
  | "reserved"
  | "below_trust_level"
  | "silent"
  | "too_hot"
  | "breaker_open";

/** Why there is no room on a routable machine now. */
type RoomReason = "refused_just_now" | "no_free_slot" | "busy_with_other_model";

/** Why no such request may be routed to the machine, whether busy or not; null if it is routable. */
export function routableGate(
  connection: Connection,
  model: ModelId,
  now: number,
  asker: Asker = "public",
): GateReason | null {
  const asOwner = asker === "owner";
  const machine = connection.registration;
  if (machine === null || connection.closed) return "not_registered";
  if (connection.retiresAt !== null) return "outdated";
  if (connection.isCordoned) return "cordoned";
  const { record } = connection;
  const joinsVisit = asOwner && connection.visitedModel === model;
  if (record !== null && record.mode !== "unmanaged") {
    if (record.mode !== "assigned") return record.mode;
    if (connection.isOwnerBusy && !joinsVisit) return "owner_busy";
    // It is about to load its model again, and would refuse now.
    if (!isLoaded(connection, model) && !(asOwner && holdsAny(machine))) return "model_not_loaded";
  }
  // An assigned machine has the model in memory, whatever it offered when it registered: it may have set the model
  // aside then, and an order overrides that.
  if (!machine.advertises && record?.mode !== "assigned" && !asOwner) return "model_not_on_machine";
  // While it is away for its owner it takes no other work.
  if (!machine.accepting && !joinsVisit) return "not_accepting";
  if (machine.privateOnly && !asOwner) return "owner_private";
  if (machine.reserved === true && !asOwner) return "reserved";
  // An owner's own requests need no proof.
  if (now >= connection.trustedUntil && !asOwner) return "below_trust_level";
  if (
    now - connection.lastMessageAt > LIVENESS_TIMEOUT_MS &&
    now - connection.lastSeenAt() > LIVENESS_TIMEOUT_MS
  ) {
    return "silent";
  }
  if (machine.thermalState === "critical") return "too_hot";
  const { breaker } = connection;
  return asker === "public" && breaker !== null && now < breaker.openUntil ? "breaker_open" : null;
}

/**
 * Whether only breakers keep a pool from serving: then they are ignored (F9). A half-open one lets one request through at a
 * time, which is not enough for a pool that has nothing else.
 */
export function failsOpen(connections: Iterable<Connection>, model: ModelId, now: number): boolean {
  let isServed = false;
  for (const connection of connections) {
    const reason = routableGate(connection, model, now, "last_resort");
    if (reason !== null) continue;
    if (!isTripped(connection)) return false;
    isServed = true;
  }
  return isServed;
}

/** Its breaker is open, or will be closed by the first request that succeeds. */
function isTripped({ breaker }: Connection): boolean {
  return breaker !== null && breaker.openUntil > 0;
}

/** Why this request cannot be sent to the machine now; null if it can. */
export function gate(
  connection: Connection,
  model: ModelId,
  slotsPerMachine: number,
  now: number,
  asker: Asker = "public",
): GateReason | RoomReason | null {
  const reason = routableGate(connection, model, now, asker);
  if (reason !== null) return reason;
  if (now < connection.refusedUntil) return "refused_just_now";
  if (asker === "owner" && isVisit(connection, model)) {
    return freeVisitSlots(connection, model, slotsPerMachine) > 0 ? null : "no_free_slot";
  }
  if (freeSlots(connection, slotsPerMachine, asker) <= 0) return "no_free_slot";
  // An unmanaged machine swaps models only when nothing runs (H12); asking it earlier only earns a refusal.
  if (!isLoaded(connection, model) && isBusy(connection)) return "busy_with_other_model";
  return null;
}

/**
 * Slots left for this pool on a machine (H12). The machine's own count covers all its pools but lags behind; the
 * pool's reservations cover only this pool but are exact; so the larger of the two is taken.
 */
export function freeSlots(connection: Connection, slotsPerMachine: number, asker: Asker = "public"): number {
  const machine = connection.registration;
  if (machine === null) return 0;
  const isOnTrial = asker === "public" && isTripped(connection);
  const slots = isOnTrial ? 1 : Math.min(machine.maxConcurrency, slotsPerMachine);
  return slots - Math.max(machine.running, connection.attempts.size);
}

/** Whether serving `model` takes the machine away from the model it is assigned to, or has already done so. */
export function isVisit({ record, registration, visitedModel }: Connection, model: ModelId): boolean {
  if (record?.mode !== "assigned") return false;
  return visitedModel === model || registration?.loadedModels.includes(model) !== true;
}

/** What runs on the model it leaves is drained by the time these slots are needed. */
function freeVisitSlots(connection: Connection, model: ModelId, slotsPerMachine: number): number {
  const slots = Math.min(connection.registration?.maxConcurrency ?? 0, slotsPerMachine);
  let taken = 0;
  for (const attempt of connection.attempts.values()) if (attempt.model === model) taken += 1;
  return slots - taken;
}

export function isLoaded(connection: Connection, model: ModelId): boolean {
  return connection.registration?.loadedModels.includes(model) ?? false;
}

/** A managed machine holds its model, or the one its owner has asked for. */
function holdsAny({ loadedModels }: Registration): boolean {
  return loadedModels.length > 0;
}

export function isBusy(connection: Connection): boolean {
  return (connection.registration?.running ?? 0) > 0 || connection.attempts.size > 0;
}
