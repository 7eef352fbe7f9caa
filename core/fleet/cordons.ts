import { machineIdSchema, type MachineId } from "../../protocol/ids.ts";
import type { ApiError } from "../api-error.ts";
import type { PoolCall } from "../pool/calls.ts";
import type { CordonWord } from "../pool/cordons.ts";
import type { PoolReport } from "../pool/report.ts";
import { unknownMachine, type Directory } from "./directory.ts";
import type { Machine } from "./machine.ts";
import type { Memberships } from "./memberships.ts";

type CordonCall = Extract<PoolCall, { kind: "cordon" }>;

/**
 * Machines that operators have cordoned, to update or restart them: they get no requests, but finish running ones, stay
 * connected and keep their model. Their pools are told at once, with each register, and again if a report shows that one has
 * missed it.
 */
export class Cordons {
  readonly #directory: Directory;
  readonly #memberships: Memberships;
  readonly #callPool: (pool: string, call: PoolCall) => void;
  /** Pools that have not confirmed the current state. Only in memory: after a reset, reports show which pools missed it. */
  readonly #untold = new Map<MachineId, Set<string>>();

  constructor(
    directory: Directory,
    memberships: Memberships,
    callPool: (pool: string, call: PoolCall) => void,
  ) {
    this.#directory = directory;
    this.#memberships = memberships;
    this.#callPool = callPool;
  }

  set(machineId: MachineId, isCordoned: boolean, now: number): ApiError | null {
    const machine = this.#directory.get(machineId);
    if (machine === null) return unknownMachine(machineId);
    const before = cordonWord(machine);
    const at = Math.max(now, before.cordonAsOf + 1);
    const changed = isCordoned
      ? { ...machine, cordonedAt: at, uncordonedAt: null }
      : { ...machine, cordonedAt: null, uncordonedAt: at };
    // It began when it was ordered first; that it has ended can be said anew to a pool that knows a later word than this fleet.
    const isSaid = isCordoned && before.isCordoned;
    if (!isSaid) this.#directory.save(changed);
    const call = { kind: "cordon", machineId, ...cordonWord(isSaid ? machine : changed) } as const;
    const pools = this.#memberships.of(machineId);
    this.#untold.set(machineId, new Set(pools));
    for (const pool of pools) this.#callPool(pool, call);
    return null;
  }

  /** A pool has confirmed a call. */
  told(pool: string, { machineId, cordonAsOf }: CordonCall): void {
    const machine = this.#directory.get(machineId);
    if (machine !== null && cordonWord(machine).cordonAsOf === cordonAsOf) this.#confirmed(machineId, pool);
  }

  /** Pools that may not know yet whether the machine is cordoned. */
  untold(machineId: MachineId): string[] {
    return [...(this.#untold.get(machineId) ?? [])];
  }

  /**
   * Tells pools again whose reports are wrong; a repeated call does no harm. Machines without a socket matter too: if the
   * fleet is down when one comes back, its pool acts on what it knows (H19).
   */
  onReport(pool: string, { machines }: PoolReport): void {
    for (const { machineId: id, isCordoned } of machines) {
      const machine = this.#directory.get(machineIdSchema.parse(id));
      if (machine === null) continue;
      const word = cordonWord(machine);
      if (word.isCordoned !== isCordoned) {
        this.#callPool(pool, { kind: "cordon", machineId: machine.machineId, ...word });
      } else this.#confirmed(machine.machineId, pool);
    }
  }

  #confirmed(machineId: MachineId, pool: string): void {
    const pools = this.#untold.get(machineId);
    pools?.delete(pool);
    if (pools?.size === 0) this.#untold.delete(machineId);
  }
}

/** For a machine that was deleted and registered again: later than anything that a pool may still have of it. */
export function cordonWord({ cordonedAt, uncordonedAt, firstRegisteredAt }: Machine): CordonWord {
  return { isCordoned: cordonedAt !== null, cordonAsOf: cordonedAt ?? uncordonedAt ?? firstRegisteredAt };
}
