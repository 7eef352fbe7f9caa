import type { AssignModel, Registered } from "../../../protocol/downstream.ts";
import { NEVER_MANAGED, type Epoch, type ModelId } from "../../../protocol/ids.ts";
import type { Heartbeat } from "../../../protocol/upstream.ts";

/**
 * What the coordinator has told this machine to hold. Orders come twice, late and in any order, so each carries an
 * epoch, and only the epoch decides which of two is the newer one (H9).
 */

export interface HeldAssignment {
  /** Null: released, free to serve any of its models. */
  readonly modelId: ModelId | null;
  readonly epoch: Epoch;
}

/** The assignment of a machine that was never managed. */
export const NOTHING_HELD: HeldAssignment = { modelId: null, epoch: NEVER_MANAGED };

export interface Order extends HeldAssignment {
  /** How long running requests may go on before a switch ends those without a byte. */
  readonly drainMs: number;
  /** For this machine's owner to read. */
  readonly reason: string;
}

/** `registered` and `assign_model` carry the same order (H8). */
export function orderOf(message: AssignModel | Registered["assignment"]): Order {
  const reason = "reason" in message ? message.reason : "as registered";
  return {
    modelId: message.model_id,
    epoch: message.epoch,
    drainMs: message.drain_ms,
    // It goes to a terminal, which takes control characters for commands.
    reason: reason.replaceAll(/\p{Cc}+/gu, " ").trim(),
  };
}

export type OrderAge = "older" | "repeated" | "conflicting" | "newer";

export function ageOf(order: HeldAssignment, held: HeldAssignment): OrderAge {
  if (order.epoch < held.epoch) return "older";
  if (order.epoch > held.epoch) return "newer";
  return order.modelId === held.modelId ? "repeated" : "conflicting";
}

/** In the form of `register` and heartbeats. */
export function reportOf({ modelId, epoch }: HeldAssignment): Heartbeat["assignment"] {
  return epoch === NEVER_MANAGED ? null : { model_id: modelId, epoch };
}
