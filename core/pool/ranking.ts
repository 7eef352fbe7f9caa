import type { ModelId } from "../../protocol/ids.ts";
import { SortedList } from "../sorted-list.ts";
import type { Connection, ConnectionWatcher } from "./connection.ts";
import { contextOf } from "./context-need.ts";
import { Contexts } from "./contexts.ts";
import { isLoaded, type Asker } from "./gate.ts";
import { Choice, leastWaitMs, perTokenMsOf, runningOn, type Wanted } from "./schedule.ts";

/**
 * An index of a pool's machines that finds the best one for a request without comparing all of them, with the same result.
 *
 * Machines with the same number of running requests form a row, sorted by prefill speed, then by how long ago they were picked,
 * then by arrival. That is the order of preference for a request whose beginning none of them has cached. Each row is searched
 * only as long as a machine in it may still be better than the best so far. Machines that may have it cached are
 * compared first, one by one.
 */

/** A machine's position, and the values it was sorted by. */
interface Standing {
  readonly connection: Connection;
  readonly row: number;
  readonly perTokenMs: number;
  readonly pickedAt: number;
  readonly context: number;
}

/** Machines that run more than this are in the last row. */
const MOST_RUNNING = 63;

/** The row of those that would have to load the model first. */
const UNLOADED = MOST_RUNNING + 1;

export class Ranking implements ConnectionWatcher {
  readonly #model: ModelId;
  readonly #machines: () => Iterable<Connection>;
  /** By the requests that they run. */
  readonly #rows = Array.from({ length: UNLOADED + 1 }, () => new SortedList<Standing>(compare));
  readonly #readers = new Readers();
  readonly #contexts = new Contexts();
  /** Null until the first request: a pool of thousands may wake, and sleep again without one. */
  #standings: Map<Connection, Standing> | null = null;

  /** @param machines all that are here. */
  constructor(model: ModelId, machines: () => Iterable<Connection>) {
    this.#model = model;
    this.#machines = machines;
  }

  /** By what requests may take up on them. */
  get contexts(): Pick<Contexts, "ends" | "enoughFor" | "withRoomFor"> {
    this.#begin();
    return this.#contexts;
  }

  /** The machine can be picked from now on. */
  enter(connection: Connection): void {
    if (this.#standings === null) return;
    connection.watcher = this;
    this.changed(connection);
    this.hasRead(connection, connection.allRead(), []);
  }

  leave(connection: Connection): void {
    const standing = this.#standings?.get(connection);
    if (standing === undefined) return;
    connection.watcher = null;
    this.#standings?.delete(connection);
    this.#row(standing.row).remove(standing);
    this.#contexts.remove(connection, standing.context);
    this.hasRead(connection, [], connection.allRead());
  }

  changed(connection: Connection): void {
    const before = this.#standings?.get(connection);
    const now = standingOf(connection, this.#model);
    if (before?.context !== now.context) {
      if (before !== undefined) this.#contexts.remove(connection, before.context);
      this.#contexts.add(connection, now.context);
    }
    this.#standings?.set(connection, now);
    if (before !== undefined) {
      if (before.row === now.row && compare(before, now) === 0) return;
      this.#row(before.row).remove(before);
    }
    this.#row(now.row).add(now);
  }

  hasRead(connection: Connection, added: Iterable<number>, forgotten: Iterable<number>): void {
    for (const hash of added) this.#readers.add(hash, connection);
    for (const hash of forgotten) this.#readers.remove(hash, connection);
  }

  /** The same that `pick` finds among all machines. Not for owners, who may have a machine leave its model. */
  pick(wanted: Wanted, now: number, asker: Exclude<Asker, "owner">): Connection | null {
    this.#begin();
    const choice = new Choice(wanted, now, asker);
    this.#offerReaders(choice, wanted);
    // Those that run more are full.
    const rows = Math.min(wanted.spec.slotsPerMachine, UNLOADED);
    for (let row = 0; row < rows; row++) this.#offer(choice, wanted, row);
    this.#offer(choice, wanted, UNLOADED);
    return choice.best;
  }

  #begin(): void {
    if (this.#standings !== null) return;
    this.#standings = new Map();
    for (const connection of this.#machines()) this.enter(connection);
  }

  /** Each once: where all clients use one key, as for one application, nearly all machines have read both. */
  #offerReaders(choice: Choice, { spec: { prefix, cacheKeys } }: Wanted): void {
    const [beginning = null] = prefix;
    if (beginning !== null) for (const reader of this.#readers.of(beginning)) choice.offer(reader);
    for (const cacheKey of cacheKeys)
      for (const reader of this.#readers.of(cacheKey))
        if (beginning === null || !reader.hasReadPrefix(beginning)) choice.offer(reader);
  }

  /** Along a row as far as it may be worth it. */
  #offer(choice: Choice, wanted: Wanted, row: number): void {
    for (const piece of this.#row(row).pieces) {
      for (const { connection, perTokenMs } of piece) {
        const leastMs = leastWaitMs(wanted, perTokenMs, row === UNLOADED ? null : row);
        if (!choice.isBeatenBy(leastMs, connection)) return;
        choice.offer(connection);
      }
    }
  }

  #row(index: number): SortedList<Standing> {
    const row = this.#rows[index];
    if (row === undefined) throw new Error(`there is no row ${index}`);
    return row;
  }
}

function standingOf(connection: Connection, model: ModelId): Standing {
  const row = isLoaded(connection, model) ? Math.min(MOST_RUNNING, runningOn(connection)) : UNLOADED;
  return {
    connection,
    row,
    perTokenMs: perTokenMsOf(connection),
    pickedAt: connection.lastPickedAt,
    context: contextOf(connection),
  };
}

function compare(a: Standing, b: Standing): number {
  return (
    a.perTokenMs - b.perTokenMs || a.pickedAt - b.pickedAt || a.connection.arrival - b.connection.arrival
  );
}

/** Who may have read a prompt's beginning, or one of its cache keys. Some have not: hashes that are alike in their last bits share a place. */
class Readers {
  readonly #places = new Map<number, Connection[]>();

  of(hash: number): readonly Connection[] {
    return this.#places.get(hash & PLACE_BITS) ?? [];
  }

  add(hash: number, connection: Connection): void {
    const readers = this.#places.get(hash & PLACE_BITS);
    if (readers === undefined) this.#places.set(hash & PLACE_BITS, [connection]);
    else readers.push(connection);
  }

  remove(hash: number, connection: Connection): void {
    const readers = this.#places.get(hash & PLACE_BITS) ?? [];
    const at = readers.indexOf(connection);
    if (at >= 0) readers.splice(at, 1);
    if (readers.length === 0) this.#places.delete(hash & PLACE_BITS);
  }
}

/** Few buckets, because the list of a bucket takes more memory than its entries. */
const PLACE_BITS = 0xffff;
