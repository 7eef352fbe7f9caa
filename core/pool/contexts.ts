import type { Connection } from "./connection.ts";

/** Machines by how much one request may take up on them, in tokens. Most of a pool have the same. */
export class Contexts {
  readonly #machines = new Map<number, Set<Connection>>();
  /** Null if it has to be found anew. */
  #ends: Ends | null = NO_ENDS;

  add(connection: Connection, context: number): void {
    const alike = this.#machines.get(context);
    if (alike === undefined) {
      this.#machines.set(context, new Set([connection]));
      this.#ends = null;
    } else alike.add(connection);
  }

  remove(connection: Connection, context: number): void {
    const alike = this.#machines.get(context);
    if (alike?.delete(connection) !== true || alike.size > 0) return;
    this.#machines.delete(context);
    this.#ends = null;
  }

  get ends(): Ends {
    this.#ends ??= endsOf(this.#machines.keys());
    return this.#ends;
  }

  /** The smallest that machines have of those that are enough for so many tokens; Infinity if none is. */
  enoughFor(tokens: number): number {
    let smallest = Infinity;
    for (const context of this.#machines.keys())
      if (context >= tokens) smallest = Math.min(smallest, context);
    return smallest;
  }

  /** Machines on which a request may take up so much. */
  *withRoomFor(tokens: number): Generator<Connection> {
    for (const [context, machines] of this.#machines) if (context >= tokens) yield* machines;
  }
}

/** The smallest and the largest that machines have. */
export interface Ends {
  readonly smallest: number;
  readonly largest: number;
}

/** Of no machines: they are in nobody's way. */
const NO_ENDS: Ends = { smallest: Infinity, largest: 0 };

function endsOf(contexts: Iterable<number>): Ends {
  let { smallest, largest } = NO_ENDS;
  for (const context of contexts) {
    smallest = Math.min(smallest, context);
    largest = Math.max(largest, context);
  }
  return { smallest, largest };
}
