import type { MachineId } from "../../protocol/ids.ts";
import type { ApiError } from "../api-error.ts";
import type { PoolCall } from "../pool/calls.ts";
import type { Cooldowns } from "./cooldowns.ts";
import { unknownMachine, type Directory } from "./directory.ts";
import type { Intents } from "./intents.ts";
import type { LoadTimes } from "./load-times.ts";
import type { Memberships } from "./memberships.ts";
import type { Orders } from "./orders.ts";
import { whyNotRemovable } from "./removal.ts";
import type { Survey } from "./survey.ts";

/** Quarantine and deletion of machines. */

/** The parts of the control plane that take part. */
export interface ExclusionParts {
  readonly directory: Directory;
  readonly memberships: Memberships;
  readonly intents: Intents;
  readonly orders: Orders;
  readonly survey: Survey;
  readonly cooldowns: Cooldowns;
  readonly loadTimes: LoadTimes;
  callPool(pool: string, call: PoolCall): void;
}

export class Exclusions {
  readonly #fleet: ExclusionParts;

  constructor(fleet: ExclusionParts) {
    this.#fleet = fleet;
  }

  /** Quarantines a machine: it is released, its sockets are closed with 4005 and its dials are refused with 403. */
  quarantine(machineId: MachineId, now: number): ApiError | null {
    const { directory, orders } = this.#fleet;
    const machine = directory.get(machineId);
    if (machine === null) return unknownMachine(machineId);
    directory.save({ ...machine, isQuarantined: true });
    // If it cannot be released, it is quarantined anyway.
    orders.release(machineId, "quarantined", now);
    this.#expel(machineId);
    return null;
  }

  readmit(machineId: MachineId): ApiError | null {
    const { directory } = this.#fleet;
    const machine = directory.get(machineId);
    if (machine === null) return unknownMachine(machineId);
    directory.save({ ...machine, isQuarantined: false });
    return null;
  }

  /** Repeats quarantines to the pools, in case a call was lost. */
  repeat(): void {
    for (const machine of this.#fleet.directory.all())
      if (machine.isQuarantined) this.#expel(machine.machineId);
  }

  /**
   * Deletes a machine that is not connected. It is released like any other: its pools are asked until all have confirmed, and
   * only then are the memberships removed. Its newest order, a release, is kept, so that its epochs continue if the machine
   * comes back as a new one.
   * @param askedAt when the pools that may hold a socket of it were asked for the reports that are to count.
   */
  remove(machineId: MachineId, askedAt: number, now: number): ApiError | null {
    const { directory, memberships, intents, orders, survey, cooldowns, loadTimes } = this.#fleet;
    const machine = directory.get(machineId);
    if (machine === null) return unknownMachine(machineId);
    const pools = memberships.of(machineId);
    const reports = new Map(pools.map((pool) => [pool, survey.reportOf(pool, askedAt)]));
    const obstacle = whyNotRemovable(machine, reports, now);
    if (obstacle !== null) return obstacle;
    const notReleased = orders.release(machineId, "deleted by an operator", now);
    if (notReleased !== null) return notReleased;
    directory.remove(machineId);
    loadTimes.forget(machineId);
    cooldowns.forget(machineId);
    intents.forgetOldest((id) => directory.get(id) !== null || memberships.of(id).length > 0);
    return null;
  }

  #expel(machineId: MachineId): void {
    const { memberships, callPool } = this.#fleet;
    for (const pool of memberships.of(machineId)) callPool(pool, { kind: "expel", machineId });
  }
}
