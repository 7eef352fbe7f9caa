import type { ApiError } from "../api-error.ts";
import { LONG_BODIES_CHARS_MAX, LONG_BODY_CHARS } from "../limits.ts";
import type { RequestSpec } from "./request.ts";

/**
 * What long bodies take of a pool's memory, which is small: a request keeps its body until it has ended, and a line of
 * them would be larger than the whole. So only so many are in the pool at once. Short ones always find room.
 */
export class LongBodies {
  #chars = 0;

  /** Counts a request until `remove`. @returns why there is no room for it, if there is none. */
  add({ body, model }: RequestSpec): ApiError | null {
    if (!isLong(body)) return null;
    this.#chars += body.length;
    if (this.#chars <= LONG_BODIES_CHARS_MAX) return null;
    const message = `too many long requests for "${model}" are under way already; try again shortly, or send a shorter one`;
    return { code: "queue_full", message };
  }

  remove({ body }: RequestSpec): void {
    if (isLong(body)) this.#chars -= body.length;
  }
}

function isLong(body: string): boolean {
  return body.length > LONG_BODY_CHARS;
}
