import { STIRRED_MS } from "../limits.ts";
import type { PoolReport } from "../pool/report.ts";
import { sightingsIn, type FleetView } from "./fleet-view.ts";
import type { Intent, Machine } from "./machine.ts";
import { TickSchedule, type ScheduleMemory } from "./tick-schedule.ts";

/**
 * The reports of the current tick: which pools have answered, and with what. A report counts as of the moment it was asked
 * for, because it says nothing about later events.
 */

interface Answer {
  readonly report: PoolReport;
  /** When it was asked for, ms since the epoch. */
  readonly askedAt: number;
}

export class Survey {
  readonly schedule: TickSchedule;
  readonly #answers = new Map<string, Answer>();
  /** Pools of the present round, and when it began. */
  #round: ReadonlySet<string> = new Set();
  #roundAt = -Infinity;

  /** @param hasNews the previous instance was notified of something and ended before its next tick. */
  constructor(schedule: ScheduleMemory | null, hasNews: boolean) {
    this.schedule = new TickSchedule(
      schedule !== null && hasNews ? { ...schedule, quietTicks: 0 } : schedule,
    );
  }

  begin(pools: ReadonlySet<string>, now: number): void {
    this.#round = pools;
    this.#roundAt = now;
    this.schedule.ticked(now);
    for (const pool of this.#answers.keys()) if (!pools.has(pool)) this.#answers.delete(pool);
  }

  /** Adds a report, unless a later one is known: answers may arrive in any order. */
  answered(pool: string, report: PoolReport, askedAt: number): void {
    const known = this.#answers.get(pool);
    if (known === undefined || known.askedAt <= askedAt) this.#answers.set(pool, { report, askedAt });
  }

  /** A pool's report, if it was asked for at `since` or later. */
  reportOf(pool: string, since: number): PoolReport | null {
    const answer = this.#answers.get(pool);
    return answer !== undefined && answer.askedAt >= since ? answer.report : null;
  }

  /** When the reports of the present round were asked for, ms since the epoch. */
  get askedAt(): number {
    return this.#roundAt;
  }

  /** Whether all pools of the round have answered. */
  get isComplete(): boolean {
    return [...this.#round].every((pool) => (this.#answers.get(pool)?.askedAt ?? -Infinity) >= this.#roundAt);
  }

  /** Whether requests are open anywhere, or an order has moved or a machine has come lately. */
  isStirring(intents: Iterable<Intent>, machines: Iterable<Machine>, now: number): boolean {
    for (const { report } of this.#answers.values()) if (report.inFlight + report.queued > 0) return true;
    for (const { phaseAt } of intents) if (now - phaseAt < STIRRED_MS) return true;
    for (const { registeredAt } of machines) if (now - registeredAt < STIRRED_MS) return true;
    return false;
  }

  view(rest: Omit<FleetView, "reports" | "sightings">): FleetView {
    const reports = new Map([...this.#answers].map(([pool, { report }]) => [pool, report]));
    return { ...rest, reports, sightings: sightingsIn(reports) };
  }
}
