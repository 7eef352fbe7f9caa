import type { ModelId } from "../../protocol/ids.ts";
import type { Connection, ConnectionWatcher } from "./connection.ts";
import { isLoaded, type Asker } from "./gate.ts";
import { Choice, leastWaitMs, perTokenMsOf, runningOn, type Wanted } from "./schedule.ts";

/**
 * The machines of a pool in an order in which a request finds the best of them without a look at each. It is the one that it
 * would find by comparing all.
 *
 * Machines that run as many requests stand in one row: those that read fastest first, of equals the one that was picked
 * longest ago, of those the one that came first. So would a request choose among them that none of them has read the
 * beginning of, and it looks along a row only as far as somebody there may still be better than its best so far. Whoever
 * may have read its beginning it looks at before, one by one.
 */

/** Where a machine stands, and by what it was put there. */
interface Standing {
  readonly connection: Connection;
  readonly row: number;
  readonly perTokenMs: number;
  readonly pickedAt: number;
}

/** Those that run more stand in the row of those that run so many. */
const MOST_RUNNING = 63;

/** The row of those that would have to load the model first. */
const UNLOADED = MOST_RUNNING + 1;

export class Ranking implements ConnectionWatcher {
  readonly #model: ModelId;
  readonly #machines: () => Iterable<Connection>;
  /** By the requests that they run. */
  readonly #rows = Array.from({ length: UNLOADED + 1 }, (): Standing[] => []);
  readonly #readers = new Readers();
  /** Null until the first request: a pool of thousands may wake, and sleep again without one. */
  #standings: Map<Connection, Standing> | null = null;

  /** @param machines all that are here. */
  constructor(model: ModelId, machines: () => Iterable<Connection>) {
    this.#model = model;
    this.#machines = machines;
  }

  /** The machine can be picked from now on. */
  enter(connection: Connection): void {
    if (this.#standings === null) return;
    connection.watcher = this;
    this.changed(connection);
    this.hasRead(connection, connection.prefixes.all(), []);
  }

  leave(connection: Connection): void {
    const standing = this.#standings?.get(connection);
    if (standing === undefined) return;
    connection.watcher = null;
    this.#standings?.delete(connection);
    this.#remove(standing);
    this.hasRead(connection, [], connection.prefixes.all());
  }

  changed(connection: Connection): void {
    const before = this.#standings?.get(connection);
    const now = standingOf(connection, this.#model);
    if (before !== undefined) {
      if (before.row === now.row && compare(before, now) === 0) return;
      this.#remove(before);
    }
    this.#standings?.set(connection, now);
    const row = this.#rowOf(now);
    row.splice(placeIn(row, now), 0, now);
  }

  hasRead(connection: Connection, added: Iterable<number>, forgotten: Iterable<number>): void {
    for (const hash of added) this.#readers.add(hash, connection);
    for (const hash of forgotten) this.#readers.remove(hash, connection);
  }

  /** The same that `pick` finds among all machines. Not for owners, who may have a machine leave its model. */
  pick(wanted: Wanted, now: number, asker: Exclude<Asker, "owner">): Connection | null {
    this.#begin();
    const choice = new Choice(wanted, now, asker);
    const { prefix, slotsPerMachine } = wanted.spec;
    const [beginning] = prefix;
    if (beginning !== undefined) for (const reader of this.#readers.of(beginning)) choice.offer(reader);
    for (const [running, row] of this.#rows.entries()) {
      const mustLoad = running === UNLOADED;
      // Its machines are full.
      if (!mustLoad && running >= slotsPerMachine) continue;
      for (const { connection, perTokenMs } of row) {
        const leastMs = leastWaitMs(wanted, perTokenMs, mustLoad ? null : running);
        if (!choice.isBeatenBy(leastMs, connection)) break;
        choice.offer(connection);
      }
    }
    return choice.best;
  }

  #begin(): void {
    if (this.#standings !== null) return;
    this.#standings = new Map();
    for (const connection of this.#machines()) this.enter(connection);
  }

  #remove(standing: Standing): void {
    const row = this.#rowOf(standing);
    row.splice(placeIn(row, standing), 1);
  }

  #rowOf({ row }: Standing): Standing[] {
    const found = this.#rows[row];
    if (found === undefined) throw new Error(`there is no row ${row}`);
    return found;
  }
}

function standingOf(connection: Connection, model: ModelId): Standing {
  const row = isLoaded(connection, model) ? Math.min(MOST_RUNNING, runningOn(connection)) : UNLOADED;
  return { connection, row, perTokenMs: perTokenMsOf(connection), pickedAt: connection.lastPickedAt };
}

function compare(a: Standing, b: Standing): number {
  return (
    a.perTokenMs - b.perTokenMs || a.pickedAt - b.pickedAt || a.connection.arrival - b.connection.arrival
  );
}

/** Where a machine stands in its row, or would. */
function placeIn(row: readonly Standing[], standing: Standing): number {
  let from = 0;
  let to = row.length;
  while (from < to) {
    const middle = (from + to) >> 1;
    const there = row[middle];
    if (there !== undefined && compare(there, standing) < 0) from = middle + 1;
    else to = middle;
  }
  return from;
}

/** Who may have read a prompt's beginning. Some have not: hashes that are alike in their last bits share a place. */
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

/** So few places, as most of what one takes is a list and not what is in it. */
const PLACE_BITS = 0xffff;
