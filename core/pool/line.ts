import { AGEING_MS } from "../limits.ts";
import { RANK, SHARE } from "./priority.ts";
import type { PoolRequest, RequestSpec } from "./request.ts";

/**
 * The queue of a pool, and whose turn it is. Requests of one key are served in order of arrival; one that returns from an
 * attempt keeps its place. Between keys, the next slot goes to the better priority, and among equals to the key that holds the
 * fewest slots, so that no key can take all of them while another waits. Waiting raises the priority, so that nobody starves.
 */
export class Line {
  /** Of each key, in the order of arrival. */
  readonly #queues = new Map<string, PoolRequest[]>();
  /** Slots that a key holds now. */
  readonly #slotsOf: (keyId: string) => number;
  #length = 0;

  constructor(slotsOf: (keyId: string) => number) {
    this.#slotsOf = slotsOf;
  }

  get length(): number {
    return this.#length;
  }

  /** @param until when it has waited long enough. */
  add(request: PoolRequest, until: number): void {
    const { keyId, arrivedAt } = request.spec;
    request.waitsUntil = until;
    const queue = this.#queues.get(keyId) ?? [];
    const behind = queue.findIndex(({ spec }) => spec.arrivedAt > arrivedAt);
    queue.splice(behind < 0 ? queue.length : behind, 0, request);
    this.#queues.set(keyId, queue);
    this.#length += 1;
  }

  remove(request: PoolRequest): void {
    const { keyId } = request.spec;
    const queue = this.#queues.get(keyId);
    const at = queue?.indexOf(request) ?? -1;
    if (queue === undefined || at < 0) return;
    queue.splice(at, 1);
    this.#length -= 1;
    if (queue.length === 0) this.#queues.delete(keyId);
  }

  /**
   * Offers the requests in turn until none is taken any more; those that are taken leave the line.
   * @param take whether a machine has room for it, and gets it then.
   * @param leastContext of a machine that may get it, in tokens.
   */
  offer(
    take: (request: PoolRequest) => boolean,
    leastContext: (request: PoolRequest) => number,
    now: number,
  ): void {
    while (this.#length > 0 && this.#offerOnce(take, leastContext, now));
  }

  matching(isWanted: (request: PoolRequest) => boolean): PoolRequest[] {
    return [...this.#queues.values()].flatMap((queue) => queue.filter(isWanted));
  }

  /**
   * Whom a newcomer to a full line replaces: the newest of the key that has the most slots and places for its priority,
   * if that key has more than the newcomer's would then have. Null if the newcomer has to go.
   */
  replacedBy({ spec }: PoolRequest): PoolRequest | null {
    const places = this.#queues.get(spec.keyId)?.length ?? 0;
    let most = this.#share(spec, places + 1);
    let replaced: PoolRequest | null = null;
    for (const queue of this.#queues.values()) {
      // One that has been tried already has waited for more than a place.
      const newest = queue.findLast(({ attempts }) => attempts === 0);
      if (newest === undefined) continue;
      const share = this.#share(newest.spec, queue.length);
      if (share <= most) continue;
      most = share;
      replaced = newest;
    }
    return replaced;
  }

  /** What a key has of the pool, or would have with so many places, beside what its priority entitles it to. */
  #share({ keyId, priority }: RequestSpec, places: number): number {
    return (places + this.#slotsOf(keyId)) / SHARE[priority];
  }

  #offerOnce(
    take: (request: PoolRequest) => boolean,
    leastContext: (request: PoolRequest) => number,
    now: number,
  ): boolean {
    // If no machine takes one plain request, none takes another that asks for as much. To ask all machines for each of a
    // thousand requests, with each message that comes, would leave no time for anything else.
    let vain = NOTHING_IN_VAIN;
    for (const queue of this.#inTurn(now)) {
      for (const request of queue) {
        const { slotsPerMachine } = request.spec;
        const isPlain = request.spec.owner === null && request.tried.size === 0;
        if (isPlain && slotsPerMachine <= vain.slots) {
          if (vain.context === 0 || leastContext(request) >= vain.context) continue;
        }
        if (take(request)) {
          this.#served(request);
          return true;
        }
        if (isPlain) vain = { slots: slotsPerMachine, context: leastContext(request) };
      }
    }
    return false;
  }

  #served(request: PoolRequest): void {
    const { keyId } = request.spec;
    this.remove(request);
    const queue = this.#queues.get(keyId);
    if (queue === undefined) return;
    // The key goes last from now on: of two that hold as many slots, the one served less recently is next.
    this.#queues.delete(keyId);
    this.#queues.set(keyId, queue);
  }

  #inTurn(now: number): readonly PoolRequest[][] {
    if (this.#queues.size === 1) return [...this.#queues.values()];
    const turns = [...this.#queues].map(([keyId, queue]) => ({
      queue,
      rank: rankOf(queue[0], now),
      slots: this.#slotsOf(keyId),
    }));
    return turns.toSorted((a, b) => a.rank - b.rank || a.slots - b.slots).map(({ queue }) => queue);
  }
}

/** What a plain request has asked for that no machine has taken: of those with this much context none has room. */
interface AskedInVain {
  readonly slots: number;
  readonly context: number;
}

const NOTHING_IN_VAIN: AskedInVain = { slots: 0, context: Infinity };

/** The lower the sooner; waiting lowers it, down to that of the best. */
function rankOf(first: PoolRequest | undefined, now: number): number {
  if (first === undefined) return Infinity;
  const { priority, arrivedAt } = first.spec;
  return Math.max(0, RANK[priority] - Math.floor(Math.max(0, now - arrivedAt) / AGEING_MS));
}
