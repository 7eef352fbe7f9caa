/**
 * Monotonic counters since the pool exists: the difference of two reads is what happened in between, however often the pool
 * hibernated. They are counted in memory and written periodically with the other counts, so a crash loses what came since
 * the last write, and a counter may then continue from a lower value.
 */

export interface Total {
  readonly name: string;
  readonly value: number;
}

export class Totals {
  readonly #values = new Map<string, number>();
  readonly #unwritten = new Set<string>();

  /** @param written what earlier lives have counted. */
  constructor(written: Iterable<Total>) {
    for (const { name, value } of written) this.#values.set(name, value);
  }

  /** Names are a closed set or bounded by what they are made of, such as the codes of errors. */
  add(name: string, amount = 1): void {
    if (amount === 0) return;
    this.#values.set(name, this.get(name) + amount);
    this.#unwritten.add(name);
  }

  get(name: string): number {
    return this.#values.get(name) ?? 0;
  }

  all(): ReadonlyMap<string, number> {
    return this.#values;
  }

  get isWritten(): boolean {
    return this.#unwritten.size === 0;
  }

  /** Takes the present value of everything that changed since the last call. */
  drain(): Total[] {
    const changed = [...this.#unwritten].map((name) => ({ name, value: this.get(name) }));
    this.#unwritten.clear();
    return changed;
  }
}
