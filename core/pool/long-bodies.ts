import type { ApiError } from "../api-error.ts";
import { LONG_BODIES_BYTES_MAX } from "../limits.ts";
import type { PoolRequest } from "./request.ts";

/**
 * What long bodies take of a pool's memory, which is small: a request keeps its body until none can be sent it again, and a
 * line of them would be larger than the whole. So only so many are in the pool at once. Short ones always find room.
 */
export class LongBodies {
  readonly #sizes = new Map<PoolRequest, number>();
  #bytes = 0;

  /** Counts a request until `remove`. @returns why there is no room for it, if there is none. */
  add(request: PoolRequest): ApiError | null {
    const { body, spec, isLong } = request;
    if (body === null || !isLong) return null;
    const bytes = bytesOf(body);
    this.#sizes.set(request, bytes);
    this.#bytes += bytes;
    if (this.#bytes <= LONG_BODIES_BYTES_MAX) return null;
    const message = `too many long requests for "${spec.model}" are under way already; try again shortly, or send a shorter one`;
    return { code: "queue_full", message };
  }

  remove(request: PoolRequest): void {
    this.#bytes -= this.#sizes.get(request) ?? 0;
    this.#sizes.delete(request);
  }
}

/** What the text takes in memory: one character that Latin-1 does not have makes two bytes of each. */
function bytesOf(body: string): number {
  return WIDE.test(body) ? 2 * body.length : body.length;
}

/** Texts without any are mostly known to be so, and in the others it comes soon: as a rule little is looked through. */
const WIDE = /[\u0100-\uffff]/;
