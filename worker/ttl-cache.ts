/** A cache of this isolate with a time to live. It is emptied when it is full, which is cheaper than tracking use. */
export class TtlCache<Value> {
  readonly #ttlMs: number;
  readonly #most: number;
  readonly #read = new Map<string, { readonly value: Value; readonly readAt: number }>();

  constructor(ttlMs: number, most: number) {
    this.#ttlMs = ttlMs;
    this.#most = most;
  }

  get(name: string, now: number): Value | undefined {
    const read = this.#read.get(name);
    return read !== undefined && now - read.readAt < this.#ttlMs ? read.value : undefined;
  }

  /** @param readAt when the read was started. */
  set(name: string, value: Value, readAt: number): void {
    if (this.#read.size >= this.#most) this.#read.clear();
    this.#read.set(name, { value, readAt });
  }

  forget(name: string): void {
    this.#read.delete(name);
  }
}
