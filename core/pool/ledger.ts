import { MACHINES_FLUSH_INTERVAL_MS } from "../limits.ts";
import { Demand, type DemandRow } from "./demand.ts";
import { MachineWorkBook, type MachineWork } from "./machine-work.ts";
import { RequestMetrics } from "./request-metrics.ts";
import { Speeds, type MeasuredMachine } from "./speeds.ts";
import { Totals, type Total } from "./totals.ts";
import { Usage, type UsageRow } from "./usage.ts";

/**
 * Everything a pool counts and measures. It is kept in memory while requests run and written in one transaction now
 * and then: a write per request would cost more than twice the request itself.
 */

/** What has come since the last write. */
export interface Entries {
  readonly usage: readonly UsageRow[];
  readonly demand: readonly DemandRow[];
  readonly totals: readonly Total[];
  readonly speeds: readonly MeasuredMachine[];
  readonly work: readonly MachineWork[];
}

/** What earlier lives of the pool have written and this one goes on from. */
export interface LedgerMemory {
  readonly totals: readonly Total[];
  /** Asked for once, when it first matters. */
  readonly speeds: () => readonly MeasuredMachine[];
}

export class Ledger {
  readonly usage = new Usage();
  readonly work = new MachineWorkBook();
  readonly totals: Totals;
  readonly speeds: Speeds;
  readonly demand: Demand;
  readonly metrics: RequestMetrics;
  #machinesTakenAt = -Infinity;

  constructor(memory: LedgerMemory) {
    this.totals = new Totals(memory.totals);
    this.speeds = new Speeds(memory.speeds);
    this.demand = new Demand(this.totals);
    this.metrics = new RequestMetrics(this.totals);
  }

  get isWritten(): boolean {
    const areCountsEmpty = this.usage.isEmpty && this.work.isEmpty && this.demand.isEmpty;
    return areCountsEmpty && this.totals.isWritten && this.speeds.isWritten;
  }

  /**
   * Takes what is not written yet. A busy pool keeps its speeds and its machines' work for a while: both change with each answer
   * of each machine, and rows for every machine each time would cost more than all else that a pool does.
   * @param isDue whether those are taken all the same, as while nothing is open and the pool may forget them at any time.
   */
  drain(now: number, isDue: boolean): Entries {
    const areMachinesDue = isDue || now - this.#machinesTakenAt >= MACHINES_FLUSH_INTERVAL_MS;
    if (areMachinesDue) this.#machinesTakenAt = now;
    return {
      usage: this.usage.drain(),
      demand: this.demand.drain(),
      totals: this.totals.drain(),
      speeds: areMachinesDue ? this.speeds.drain() : [],
      work: areMachinesDue ? this.work.drain() : [],
    };
  }
}

export const EMPTY_LEDGER: LedgerMemory = { totals: [], speeds: () => [] };
