import type { MachineId, ModelId } from "../../protocol/ids.ts";
import type { Connection } from "./connection.ts";
import { contextOf } from "./context-need.ts";
import type { Ends } from "./contexts.ts";
import type { Asker } from "./gate.ts";
import type { Sleepers } from "./ports.ts";
import { Ranking } from "./ranking.ts";
import type { Wanted } from "./schedule.ts";

/**
 * The admitted socket of each machine, at most one (H11), and which of them should serve a request.
 *
 * Sockets that survived hibernation are restored as needed: a request is first routed among those that are restored, and a
 * caller that needs to know which machines are missing restores all.
 */
export class Seats {
  readonly #sleepers: Sleepers;
  readonly #ranking: Ranking;
  readonly #machines = new Map<MachineId, Connection>();
  #arrivals = 0;

  constructor(model: ModelId, sleepers: Sleepers) {
    this.#sleepers = sleepers;
    this.#ranking = new Ranking(model, () => this.#machines.values());
  }

  /** Whether no socket sleeps on. */
  get areAwake(): boolean {
    return !this.#sleepers.hasMore();
  }

  wakeAll(): void {
    while (!this.areAwake) this.#sleepers.wakeSome();
  }

  get isEmpty(): boolean {
    this.wakeAll();
    return this.#machines.size === 0;
  }

  get(machineId: MachineId): Connection | undefined {
    this.wakeAll();
    return this.#machines.get(machineId);
  }

  /** To be walked through once. Those that sleep are woken when it comes to them. */
  all(): Iterable<Connection> {
    return this.areAwake ? this.#machines.values() : this.#waking();
  }

  /** The best for a public request, as `Ranking` has it, of those that are awake if one of them may take it. */
  pick(wanted: Wanted, now: number, asker: Exclude<Asker, "owner">): Connection | null {
    let best = this.#ranking.pick(wanted, now, asker);
    while (best === null && !this.areAwake) {
      this.#sleepers.wakeSome();
      best = this.#ranking.pick(wanted, now, asker);
    }
    return best;
  }

  /** The smallest and the largest context of the machines that are awake, in tokens. */
  get contexts(): Ends {
    return this.#ranking.contexts.ends;
  }

  /** The smallest context of those that are awake and enough for so many tokens; Infinity if none is. */
  contextFor(tokens: number): number {
    return this.#ranking.contexts.enoughFor(tokens);
  }

  /** Machines on which a request may take up so many tokens. */
  *withRoomFor(tokens: number): Generator<Connection> {
    if (this.areAwake) yield* this.#ranking.contexts.withRoomFor(tokens);
    else for (const connection of this.all()) if (contextOf(connection) >= tokens) yield connection;
  }

  /** From now on this is the machine's socket. The machine keeps its place. */
  put(connection: Connection): void {
    const { machineId } = connection.identity;
    const before = this.#machines.get(machineId);
    if (before !== undefined) this.#ranking.leave(before);
    connection.arrival = before?.arrival ?? this.#arrivals++;
    this.#machines.set(machineId, connection);
    this.#ranking.enter(connection);
  }

  /** @returns whether it was its machine's. */
  remove(connection: Connection): boolean {
    const { machineId } = connection.identity;
    if (this.#machines.get(machineId) !== connection) return false;
    this.#machines.delete(machineId);
    this.#ranking.leave(connection);
    return true;
  }

  *#waking(): Generator<Connection> {
    let visited = 0;
    const wakeNext = (): void => {
      while (visited === this.#machines.size && !this.areAwake) this.#sleepers.wakeSome();
    };
    wakeNext();
    for (const connection of this.#machines.values()) {
      yield connection;
      visited += 1;
      // Before the last is left: the walk goes on with whoever has come by then.
      wakeNext();
    }
  }
}
