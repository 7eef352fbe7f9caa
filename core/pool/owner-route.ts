import { z } from "zod";

import type { ModelId } from "../../protocol/ids.ts";
import type { ApiError } from "../api-error.ts";
import type { Connection } from "./connection.ts";
import { routableGate, type GateReason } from "./gate.ts";

/**
 * Owner routes (H21): requests for the sender's own machines. Private machines serve them too, and a machine that is assigned
 * to another model leaves it for the duration of the request.
 */

export const otherwiseSchema = z.enum(["wait", "decline", "public"]);

export interface OwnerRoute {
  /** The owner's machines that belong to this pool and have the asked model on disk. */
  readonly machines: ReadonlySet<string>;
  /**
   * What happens if none of them can serve now. `wait`: only they may serve it, so it waits for one that is busy.
   * `decline`: it comes back at once, since there is another place to try. `public`: any machine of the pool will do.
   */
  readonly otherwise: z.infer<typeof otherwiseSchema>;
  /** The fleet is moving one of them, so that it may not have arrived here yet. */
  readonly isSwitching: boolean;
}

/** Tells the Worker to go elsewhere; no client sees it. */
export const DECLINED: ApiError = { code: "machine_busy", message: "another pool is asked" };

/** Only the owner's machines may serve it, here at least. */
export function isForOwnMachines(route: OwnerRoute | null): boolean {
  return route !== null && route.otherwise !== "public";
}

/** Another place is tried if it cannot be served here at once: it arrives where it is answered, or in the last of them. */
export function mayBeDeclined(route: OwnerRoute | null): boolean {
  return route?.otherwise === "decline";
}

export function* ownMachines(route: OwnerRoute, connections: Iterable<Connection>): Generator<Connection> {
  for (const connection of connections) {
    if (route.machines.has(connection.identity.machineId)) yield connection;
  }
}

/** Why none of the owner's machines serves the request. */
export function noOwnMachine(
  route: OwnerRoute,
  model: ModelId,
  connections: Iterable<Connection>,
  now: number,
): ApiError {
  let isBusy = route.isSwitching;
  let isCordoned = false;
  for (const connection of ownMachines(route, connections)) {
    const reason = routableGate(connection, model, now, "owner");
    if (reason === "cordoned") isCordoned = true;
    else if (!isOutOfReach(reason)) isBusy = true;
  }
  if (isBusy) {
    return {
      code: "machine_busy",
      message: `your machine is busy or switches models and cannot serve "${model}" now; try again`,
    };
  }
  // The provider of a cordoned machine is not at fault.
  const hint = isCordoned ? "an operator keeps requests away from one of them" : "look at its provider";
  return {
    code: "machine_offline",
    message: `none of your machines that have "${model}" is connected and able to serve it; ${hint}`,
  };
}

const OUT_OF_REACH: ReadonlySet<GateReason> = new Set(["not_registered", "outdated", "silent", "failed"]);

/** Waiting a moment does not help. */
function isOutOfReach(reason: GateReason | null): boolean {
  return reason !== null && OUT_OF_REACH.has(reason);
}
