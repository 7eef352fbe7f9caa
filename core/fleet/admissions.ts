import type { Registered } from "../../protocol/downstream.ts";
import { NEVER_MANAGED, type MachineId, type ModelId } from "../../protocol/ids.ts";
import type { Register } from "../../protocol/upstream.ts";
import type { ApiError } from "../api-error.ts";
import type { Flags } from "../flags.ts";
import { ORDER_TIMES } from "../limits.ts";
import type { Admission, AdmissionQuestion } from "../pool/admission.ts";
import type { Stamp } from "../pool/record.ts";
import { cordonWord } from "./cordons.ts";
import type { Dialer, DialPolicy } from "./dial-policy.ts";
import { modelIds, type Directory } from "./directory.ts";
import type { Handover } from "./handover.ts";
import type { Intents } from "./intents.ts";
import { machineOf, type Machine } from "./machine.ts";
import type { Memberships } from "./memberships.ts";
import type { Orders } from "./orders.ts";
import type { Reconciler } from "./reconcile.ts";

/** Decides dials and registers: to which pool a dial goes, and what a machine is told when it registers. */

/** The pool of a dial, with a stamp for that pool, or why the dial is refused. */
export type DialVerdict =
  | { readonly ok: true; readonly pool: ModelId; readonly stamp: Stamp }
  | { readonly ok: false; readonly error: ApiError };

/** The parts of the control plane that take part. */
export interface AdmissionParts {
  readonly dialPolicy: DialPolicy;
  readonly directory: Directory;
  readonly memberships: Memberships;
  readonly intents: Intents;
  readonly handover: Handover;
  readonly orders: Orders;
  readonly reconciler: Reconciler;
  flags(): Flags;
  /** Notes activity: regular ticks from now on. */
  stir(now: number): void;
}

export class Admissions {
  readonly #fleet: AdmissionParts;

  constructor(fleet: AdmissionParts) {
    this.#fleet = fleet;
  }

  /**
   * Decides one dial. The membership is written before the answer, so that no socket exists that the fleet does not
   * know of (H1).
   * @param named the catalog id the provider asked for; null for wherever it belongs.
   */
  dial(dialer: Dialer, named: ModelId | null, now: number): DialVerdict {
    const { dialPolicy, directory, memberships, intents, handover, stir } = this.#fleet;
    const { machineId } = dialer;
    const refusal = dialPolicy.whyNotDial(dialer);
    if (refusal !== null) return { ok: false, error: refusal };
    stir(now);
    const { pool: assigned, stamp } = intents.destination(machineId);
    const pool = assigned ?? named ?? directory.poolsOf(machineId)[0];
    if (pool === undefined) {
      const message = `machine "${machineId}" has not registered before; name a model with ?pool=`;
      return { ok: false, error: { code: "model_not_found", message, param: "pool" } };
    }
    const tooOften = dialPolicy.countDial(dialer, pool, now);
    if (tooOften !== null) return { ok: false, error: tooOften };
    memberships.add(machineId, pool, now);
    handover.dialed(machineId, pool, now);
    return { ok: true, pool, stamp };
  }

  /** Decides one register and stores the machine's description. Binds the id to its first owner and key (H22). */
  register({ identity, register, pool }: AdmissionQuestion, now: number): Admission {
    const { dialPolicy, directory, memberships, intents, handover, orders, reconciler } = this.#fleet;
    const { machineId } = identity;
    const close = dialPolicy.whyNotRegister(identity, register);
    if (close !== null) return { admitted: false, close };
    memberships.add(machineId, pool, now);
    const before = directory.get(machineId);
    directory.note(machineOf(register, identity, before, [], now));
    orders.obeyFlagsFor(machineId, now);
    const held = register.assignment;
    if (held !== null) handover.holds(machineId, held.model_id, held.epoch, now);
    handover.dialed(machineId, pool, now);
    handover.woken(machineId, now);
    reconciler.connected(machineId, now);
    if (before !== null) reconciler.hasGained(machineId, gained(before, register), now);
    const { pool: assigned, stamp } = intents.destination(machineId);
    const pools = assigned === null ? directory.poolsOf(machineId) : [assigned];
    const machine = machineOf(register, identity, directory.get(machineId), pools, now);
    directory.save(machine);
    if (assigned === pool) handover.arrived(machineId);
    const isElsewhere = assigned !== null && assigned !== pool && stamp.mode !== "unknown";
    return {
      admitted: true,
      stamp: isElsewhere ? { mode: "released", epoch: stamp.epoch } : stamp,
      pools,
      assignment: this.#assignmentFor(machineId, register),
      publicKey: register.public_key,
      ...cordonWord(machine),
    };
  }

  /** What `registered` says the machine should hold (H8); what it says itself while it must not know the new order. */
  #assignmentFor(machineId: MachineId, register: Register): Registered["assignment"] {
    const { directory, handover, flags } = this.#fleet;
    const order = directory.knowsOrders(machineId, flags()) ? handover.orderFor(machineId) : null;
    if (order !== null) return { model_id: order.model_id, epoch: order.epoch, ...ORDER_TIMES };
    const held = register.assignment;
    return { model_id: held?.model_id ?? null, epoch: held?.epoch ?? NEVER_MANAGED, ...ORDER_TIMES };
  }
}

function gained(before: Machine, { models }: Register): ModelId[] {
  const known = new Set(modelIds(before));
  return models.map(({ id }) => id).filter((id) => !known.has(id));
}
