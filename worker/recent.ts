/** What this isolate has read of late, by name: good for a while, and all forgotten once it is too much. */
export class Recent<Value> {
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

  /** @param readAt when the question was asked. */
  set(name: string, value: Value, readAt: number): void {
    if (this.#read.size >= this.#most) this.#read.clear();
    this.#read.set(name, { value, readAt });
  }

  forget(name: string): void {
    this.#read.delete(name);
  }
}
