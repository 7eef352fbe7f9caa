import type { PoolRequest } from "./request.ts";

/** Requests that wait for a machine, in the order in which they came; one that comes back from a try keeps its place. */
export class Line {
  readonly #requests: PoolRequest[] = [];

  get length(): number {
    return this.#requests.length;
  }

  /** @param waitMs how long it may wait from now on. */
  add(request: PoolRequest, waitMs: number, now: number): void {
    request.queuedUntil = now + waitMs;
    const behind = this.#requests.findIndex(({ spec }) => spec.arrivedAt > request.spec.arrivedAt);
    this.#requests.splice(behind < 0 ? this.#requests.length : behind, 0, request);
  }

  remove(request: PoolRequest): void {
    const at = this.#requests.indexOf(request);
    if (at >= 0) this.#requests.splice(at, 1);
  }

  /** Offers each in turn; those that are taken leave the line. */
  offer(take: (request: PoolRequest) => boolean): void {
    for (let i = 0; i < this.#requests.length;) {
      const request = this.#requests[i];
      if (request !== undefined && take(request)) this.#requests.splice(i, 1);
      else i += 1;
    }
  }

  matching(isWanted: (request: PoolRequest) => boolean): PoolRequest[] {
    return this.#requests.filter(isWanted);
  }
}
