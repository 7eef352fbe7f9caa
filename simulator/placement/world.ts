import type { Intent } from "../../core/fleet/machine.ts";
import type { ScoredDay } from "../../core/placement/score.ts";
import type { ModelId } from "../../protocol/ids.ts";
import { SimClock } from "../handover/clock.ts";
import { Coordinator, modelOf, SLOTS } from "./coordinator.ts";
import { SimMachine, TOKENS_PER_SECOND } from "./machine.ts";
import type { DoneMove, MachineView, Policy } from "./policy.ts";
import { type Outcomes, RequestWindow } from "./requests.ts";
import type { Scenario, Window } from "./scenario.ts";

/**
 * Replays the demand minute by minute on the real control plane and the real pools. A minute's demand is counted into the pools in
 * bulk, but for a window in which every request is submitted by itself. What is ready is what the pools' own gate lets requests go to, at
 * the start of the minute after that minute's orders. Within a minute demand is a fluid: n ready machine units serve min(n, d).
 */
export interface Replay {
  readonly ready: readonly (readonly number[])[];
  readonly moves: readonly DoneMove[];
  /** What became of the requests of the window; null without one. */
  readonly requests: Outcomes | null;
  /** What the coordinator takes its own placement to be worth; the newest day last. */
  readonly score: readonly ScoredDay[];
}

const MINUTE_MS = 60_000;

/** With `refusals`, this part of the refused requests comes back in the next minute, once. */
const RETRIED = 0.5;

/** A minute is one of the coordinator's ticks, so it may order as much in one as in two of its usual ones. */
const FLAGS = {
  assignment_gate: "on",
  pool_exhausted_429: "on",
  tick_seconds: "60",
  max_loads_per_tick: "8",
  decode_floor_tps: "0",
} as const;

/** A minute is counted so long before it ends that an early tick, a second after the news, still belongs to it. */
const COUNTED_MS = 2_000;

/** Machines have been where they are for this long when the replay begins. */
const SETTLED_MS = 60 * MINUTE_MS;

/** Who decides which model each machine holds: a policy, or the coordinator itself in one of its modes. */
type Decider = Policy | "enforce" | "shadow";

/** @param placement the first model of each machine. */
export function replay(
  scenario: Scenario,
  placement: readonly (number | null)[],
  decider: Decider,
  window: Window | null = null,
): Replay {
  const world = new World(scenario, placement, decider, window);
  return world.run();
}

class World {
  readonly #scenario: Scenario;
  /** Null if the coordinator decides. */
  readonly #policy: Policy | null;
  readonly #clock = new SimClock();
  readonly #coordinator: Coordinator;
  readonly #machines: readonly SimMachine[];
  readonly #moves: DoneMove[] = [];
  readonly #requests: RequestWindow | null;
  readonly #startsAt: number;
  /** The first model of each machine; one that has none stays out. */
  readonly #placement: readonly (number | null)[];
  /** Of each model, the part of a served request that is not counted yet. */
  readonly #rest: number[];
  #minute = 0;

  constructor(
    scenario: Scenario,
    placement: readonly (number | null)[],
    decider: Decider,
    window: Window | null,
  ) {
    this.#scenario = scenario;
    this.#policy = typeof decider === "string" ? null : decider;
    this.#placement = placement;
    this.#coordinator = new Coordinator(scenario, this.#clock, {
      ...FLAGS,
      placement: typeof decider === "string" ? decider : "off",
    });
    this.#rest = scenario.models.map(() => 0);
    this.#machines = placement.map(
      (model, index) => new SimMachine(this.#coordinator, scenario, index, model),
    );
    this.#startsAt = this.#clock.now() + SETTLED_MS;
    this.#requests = window === null ? null : new RequestWindow(this.#coordinator, scenario, window);
    this.#settle();
  }

  run(): Replay {
    const ready: number[][] = [];
    let refused = this.#scenario.models.map(() => 0);
    let observed: number[] = [];
    for (const [minute, demand] of this.#scenario.demand.entries()) {
      this.#minute = minute;
      const at = this.#startsAt + minute * MINUTE_MS;
      this.#outages(minute);
      // The coordinator's tick of this minute is due now, and orders what it has planned.
      this.#runUntil(at);
      if (minute > 0 && this.#policy !== null) this.#decide(this.#policy, minute, observed);
      const serving = this.#ready();
      ready.push(serving);
      observed = demand.map((wanted, model) => this.#seen(wanted, refused[model] ?? 0));
      refused = demand.map((wanted, model) => Math.max(0, wanted - (serving[model] ?? 0)));
      if (this.#requests?.has(minute) === true) {
        this.#requests.schedule(minute, observed, at);
        this.#runUntil(at + MINUTE_MS - COUNTED_MS);
      } else {
        this.#runUntil(at + MINUTE_MS - COUNTED_MS);
        this.#count(observed, serving);
      }
    }
    const { scoredDays: score } = this.#coordinator.control.placement;
    return { ready, moves: this.#moves, requests: this.#requests?.outcomes ?? null, score };
  }

  /** All machines that have a place join, and each is given the model that it holds. */
  #settle(): void {
    const { control } = this.#coordinator;
    this.#coordinator.onOrder = (intent, before) => this.#ordered(intent, before);
    for (const [index, machine] of this.#machines.entries()) {
      const first = this.#placement[index] ?? null;
      if (first === null) continue;
      this.#coordinator.act(() => machine.join());
      const model = this.#coordinator.pools[first]?.model;
      if (model === undefined) throw new RangeError(`there is no model ${first} for machine ${index}`);
      this.#coordinator.act(() =>
        control.orders.assign(machine.id, model, "first placement", false, this.#clock.now()),
      );
      machine.isPreparing = false;
    }
    this.#runUntil(this.#startsAt - 1);
  }

  #runUntil(at: number): void {
    while (this.#clock.step(at));
  }

  #outages(minute: number): void {
    if (minute === 0) return;
    this.#runUntil(this.#startsAt + minute * MINUTE_MS - 1);
    for (const { machine, from, until } of this.#scenario.outages) {
      if ((this.#placement[machine] ?? null) === null) continue;
      if (from === minute) this.#coordinator.act(() => this.#machines[machine]?.leave());
      if (until === minute) this.#coordinator.act(() => this.#machines[machine]?.join());
    }
  }

  #decide(policy: Policy, minute: number, observed: readonly number[]): void {
    const { control, pools } = this.#coordinator;
    for (const { machine, model } of policy.decide({ minute, observed, machines: this.#views() })) {
      const id = this.#machines[machine]?.id;
      const to = pools[model]?.model;
      const fits = (this.#scenario.machines[machine]?.speeds[model] ?? 0) > 0;
      if (id === undefined || to === undefined || !fits || this.#machines[machine]?.isAway === true) continue;
      this.#coordinator.act(() =>
        control.orders.assign(id, to, "ordered by a policy", false, this.#clock.now()),
      );
    }
  }

  #ordered({ machineId, model }: Intent, before: Intent | null): void {
    if (model === null) return;
    const machine = Number(machineId.slice("mac-".length));
    const from = before?.model == null || before.outcome === "failed" ? null : modelOf(before.model);
    const to = modelOf(model);
    if (from !== to) this.#moves.push({ minute: this.#minute, machine, from, to });
  }

  #views(): MachineView[] {
    return this.#machines.map(({ id, isAway }) => {
      const intent = this.#coordinator.control.intents.get(id);
      const since = Math.max(0, Math.floor(((intent?.startedAt ?? 0) - this.#startsAt) / MINUTE_MS));
      const held = intent === null || intent.outcome === "failed" ? null : intent.model;
      const model = held === null ? null : modelOf(held);
      if (isAway) return { state: "away", model, since };
      if (held === null) return { state: "empty", model, since };
      return { state: this.#isRoutable(held, id) ? "ready" : "switching", model, since };
    });
  }

  #isRoutable(model: ModelId, id: string): boolean {
    const pool = this.#coordinator.pools.find((one) => one.model === model);
    const report = pool?.report(this.#clock.now(), SLOTS);
    return report?.machines.find(({ machineId }) => machineId === id)?.blockedBy === null;
  }

  /** Machine units that requests can be routed to, per model, as the pools' gate says. */
  #ready(): number[] {
    return this.#coordinator.pools.map((pool, model) => {
      let units = 0;
      for (const { machineId, blockedBy } of pool.report(this.#clock.now(), SLOTS).machines) {
        const index = Number(machineId.slice("mac-".length));
        if (blockedBy === null) units += this.#scenario.machines[index]?.speeds[model] ?? 0;
      }
      return units;
    });
  }

  #seen(demand: number, refusedBefore: number): number {
    const { observe, requestsPerMinute } = this.#scenario;
    if (observe === "perfect") return demand;
    return Math.round((demand + RETRIED * refusedBefore) * requestsPerMinute) / requestsPerMinute;
  }

  /** Counts a minute into the pools as if its requests had come and been answered or refused. */
  #count(observed: readonly number[], serving: readonly number[]): void {
    const { requestsPerMinute } = this.#scenario;
    const now = this.#clock.now();
    const tokens = {
      promptTokens: 0,
      completionTokens: (SLOTS * TOKENS_PER_SECOND * 60) / requestsPerMinute,
      cachedTokens: 0,
    };
    for (const [model, pool] of this.#coordinator.pools.entries()) {
      const wanted = observed[model] ?? 0;
      const arrivals = wanted * requestsPerMinute;
      pool.ledger.demand.arrived(0, now, arrivals);
      if (arrivals > 0 && pool.watch.arrived(arrivals)) {
        this.#coordinator.act(() => this.#coordinator.control.told(pool.model, { kind: "demand" }, now));
      }
      const served = Math.min(wanted, serving[model] ?? 0) * requestsPerMinute + (this.#rest[model] ?? 0);
      this.#rest[model] = served - Math.floor(served);
      // The others do not look at what was answered.
      if (this.#policy === null) {
        for (let count = 1; count <= served; count += 1) pool.ledger.demand.completed(tokens, true, now);
      }
      pool.ledger.drain(now, true);
    }
  }
}
