import type { ApiError } from "../core/api-error.ts";
import { difference, type Difference } from "../core/audit.ts";
import { orderMany, type BulkOrder, type BulkVerdict } from "../core/fleet/bulk-orders.ts";
import type { ControlPlane } from "../core/fleet/control-plane.ts";
import { unknownMachine } from "../core/fleet/directory.ts";
import { machineBrief } from "../core/fleet/machine-brief.ts";
import type { PinVerdict } from "../core/fleet/orders.ts";
import { machineIdSchema, type MachineId } from "../protocol/ids.ts";
import { SETTLE_LIMIT_MS, type Pools } from "./pools.ts";

/** Operators' orders to machines. Each is passed to the core, and what it has changed is returned for the log of changes. */

/** What an operator asked to be done with a machine, or why it cannot be. */
export type MachineVerdict =
  | { readonly ok: true; readonly machineId: string; readonly epoch: number; readonly difference: Difference }
  | { readonly ok: false; readonly error: ApiError };

/** With the pools that have not confirmed it within two seconds: they hear of it at the next tick. */
export type CordonVerdict =
  | (Extract<MachineVerdict, { ok: true }> & { readonly waitingFor: readonly string[] })
  | Extract<MachineVerdict, { ok: false }>;

export type ManyOrdered =
  | (Extract<BulkVerdict, { ok: true }> & { readonly waitingFor: readonly string[] })
  | Extract<BulkVerdict, { ok: false }>;

export type PinnedVerdict =
  | (Extract<PinVerdict, { ok: true }> & { readonly difference: Difference })
  | Extract<PinVerdict, { ok: false }>;

/** Runs something on the core and sets the alarm for what follows from it, without an await in between. */
export type Then = <T>(act: (now: number) => T) => T;

export class MachineOrders {
  readonly #core: ControlPlane;
  readonly #pools: Pools;
  readonly #then: Then;

  constructor(core: ControlPlane, pools: Pools, then: Then) {
    this.#core = core;
    this.#pools = pools;
    this.#then = then;
  }

  pin(machineId: string, modelId: string): PinnedVerdict {
    const id = machineIdSchema.parse(machineId);
    const before = machineBrief(this.#core, id);
    const verdict = this.#then((now) => this.#core.orders.pin(id, modelId, now));
    if (!verdict.ok) return verdict;
    return { ...verdict, difference: difference(before, machineBrief(this.#core, id)) };
  }

  release(machineId: string): MachineVerdict {
    return this.#order(machineId, (id, now) => this.#core.orders.release(id, "released by an operator", now));
  }

  unpin(machineId: string): MachineVerdict {
    return this.#order(machineId, (id) => {
      this.#core.intents.unpin(id);
      return null;
    });
  }

  quarantine(machineId: string): MachineVerdict {
    return this.#order(machineId, (id, now) => this.#core.quarantine(id, now));
  }

  readmit(machineId: string): MachineVerdict {
    return this.#order(machineId, (id) => this.#core.readmit(id));
  }

  /** The same order for many machines. @returns with the pools that have not confirmed a cordon, or its end */
  async many(bulk: BulkOrder): Promise<ManyOrdered> {
    if (bulk.isDryRun) return waitingFor(orderMany(this.#core, bulk, Date.now()), () => []);
    const isCordon = bulk.order === "cordon" || bulk.order === "uncordon";
    if (isCordon) this.#core.stir(Date.now());
    const verdict = this.#then((now) => orderMany(this.#core, bulk, now));
    await this.#pools.settled();
    return waitingFor(verdict, (id) => (isCordon ? this.#core.cordons.untold(id) : []));
  }

  /** Keeps requests away from a machine, or lets them come again. Its pools have heard when this returns, if they answer. */
  async cordon(machineId: string, isCordoned: boolean): Promise<CordonVerdict> {
    this.#core.stir(Date.now());
    const verdict = this.#order(machineId, (id, now) => this.#core.cordons.set(id, isCordoned, now));
    await this.#pools.settled();
    if (!verdict.ok) return verdict;
    return { ...verdict, waitingFor: this.#core.cordons.untold(machineIdSchema.parse(machineId)) };
  }

  /** Forgets a machine that is not connected; the pools that may know better are asked. */
  async remove(machineId: string): Promise<MachineVerdict> {
    const askedAt = Date.now();
    await this.#pools.view(this.#core.memberships.of(machineIdSchema.parse(machineId)), SETTLE_LIMIT_MS);
    const verdict = this.#order(machineId, (id, now) => this.#core.remove(id, askedAt, now));
    await this.#pools.settled();
    return verdict;
  }

  #order(machineId: string, act: (id: MachineId, now: number) => ApiError | null): MachineVerdict {
    const id = machineIdSchema.parse(machineId);
    const before = machineBrief(this.#core, id);
    if (before === null) return { ok: false, error: unknownMachine(id) };
    const error = this.#then((now) => act(id, now));
    if (error !== null) return { ok: false, error };
    const epoch = this.#core.intents.epochOf(id);
    return { ok: true, machineId: id, epoch, difference: difference(before, machineBrief(this.#core, id)) };
  }
}

function waitingFor(verdict: BulkVerdict, untold: (machineId: MachineId) => readonly string[]): ManyOrdered {
  if (!verdict.ok) return verdict;
  const pools = verdict.machines.flatMap(({ machineId }) => untold(machineIdSchema.parse(machineId)));
  return { ...verdict, waitingFor: [...new Set(pools)] };
}
