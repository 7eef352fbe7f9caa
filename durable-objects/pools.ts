import type { ControlPlane } from "../core/fleet/control-plane.ts";
import { sightingsIn, type FleetView } from "../core/fleet/fleet-view.ts";
import type { IdlePools } from "../core/fleet/idle-pools.ts";
import { VIEW_POOLS_MS } from "../core/limits.ts";
import type { PoolCall, PoolReply } from "../core/pool/calls.ts";
import type { PoolReport } from "../core/pool/report.ts";
import type { Env } from "./env.ts";
import { logWarning } from "./log.ts";
import { poolStub } from "./pool-stub.ts";

/**
 * The pools as the fleet reaches them: carries the core's calls to them and their answers back, and reads their reports
 * for whoever wants to see the fleet as it is now. A pool that does not answer must not keep the others from hearing;
 * the core repeats what matters.
 */

/** How long a caller waits for an order's effects, which happen in any case. */
export const SETTLE_LIMIT_MS = 2_000;

export interface PoolsHost {
  /** A pool has answered; what follows from that happens before this returns. */
  replied(pool: string, call: PoolCall, reply: PoolReply): void;
  /** Keeps the object awake until this is done. */
  waitUntil(done: Promise<void>): void;
}

/** What pools have counted, by pool. */
export type Totals = Map<string, ReadonlyMap<string, number>>;

export class Pools {
  readonly #env: Env;
  readonly #core: ControlPlane;
  readonly #idlePools: IdlePools;
  readonly #host: PoolsHost;
  /** Calls under way. */
  readonly #calls = new Set<Promise<void>>();

  constructor(env: Env, core: ControlPlane, idlePools: IdlePools, host: PoolsHost) {
    this.#env = env;
    this.#core = core;
    this.#idlePools = idlePools;
    this.#host = host;
  }

  call(pool: string, call: PoolCall): void {
    const done = this.#perform(pool, call).finally(() => this.#calls.delete(done));
    this.#calls.add(done);
    this.#host.waitUntil(done);
  }

  /** Waits for the calls under way and those that follow from them, but not long for a pool that does not answer. */
  async settled(): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | null = null;
    const enough = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, SETTLE_LIMIT_MS);
    });
    const all = async (): Promise<void> => {
      while (this.#calls.size > 0) await Promise.all(this.#calls);
    };
    await Promise.race([all(), enough]);
    clearTimeout(timer);
  }

  /**
   * The fleet with what its pools report now.
   * @param pools those to read; all that there are if left out.
   * @param withinMs those that have not answered by then are left out.
   * @param totals takes what they have counted.
   */
  async view(
    pools?: readonly string[],
    withinMs: number = VIEW_POOLS_MS,
    totals?: Totals,
  ): Promise<FleetView> {
    const reports = new Map<string, PoolReport>();
    const read = pools ?? new Set<string>([...this.#core.models(), ...this.#core.pools()]);
    const all = Promise.all([...read].map((pool) => this.#read(pool, reports, totals)));
    const done = new AbortController();
    await Promise.race([all, scheduler.wait(withinMs, { signal: done.signal })]);
    done.abort();
    return { ...this.#core.ownView(Date.now()), reports, sightings: sightingsIn(reports) };
  }

  async #read(pool: string, reports: Map<string, PoolReport>, totals?: Totals): Promise<void> {
    const call = this.#core.readCall(pool, Date.now(), totals !== undefined);
    try {
      const reply = await this.#ask(pool, call);
      if (reply.kind !== "report") return;
      reports.set(pool, reply.report);
      if (reply.totals !== null) totals?.set(pool, reply.totals);
      // One with machines is asked each time.
      if (!this.#core.pools().has(pool)) this.#idlePools.answered(pool, call, reply, Date.now());
      this.#host.replied(pool, call, reply);
    } catch (error) {
      logWarning("pool_unreachable", { pool, call: call.kind, error: String(error) });
    }
  }

  async #perform(pool: string, call: PoolCall): Promise<void> {
    let reply: PoolReply;
    try {
      reply = await this.#ask(pool, call);
    } catch (error) {
      logWarning("pool_unreachable", { pool, call: call.kind, error: String(error) });
      return;
    }
    this.#host.replied(pool, call, reply);
  }

  #ask(pool: string, call: PoolCall): Promise<PoolReply> {
    if (call.kind === "read") this.#idlePools.asked(pool, call);
    return poolStub(this.#env, pool).perform(call);
  }
}
