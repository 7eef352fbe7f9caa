import { REMEMBERED_CHARS_MAX, REMEMBERED_LANES_MAX } from "../../core/limits.ts";

/** What was said up to a response, as items of the Responses API. */
export interface Conversation {
  /** Of its last response. */
  readonly id: string;
  readonly items: readonly unknown[];
  /** Of its items as JSON. */
  readonly chars: number;
}

/**
 * What one WebSocket remembers: the conversation up to the latest response of each of its lanes, so that the next
 * request can name the response instead of sending it all again. It is never more than one long conversation is; what
 * was continued least recently is forgotten first, and a longer conversation is not remembered at all.
 */
export class Conversations {
  /** By lane, the one that was continued least recently first. */
  readonly #latest = new Map<string, Conversation>();

  find(id: string): Conversation | null {
    return [...this.#latest.values()].find((conversation) => conversation.id === id) ?? null;
  }

  keep(lane: string, conversation: Conversation): void {
    this.#latest.delete(lane);
    if (conversation.chars > REMEMBERED_CHARS_MAX) return;
    this.#latest.set(lane, conversation);
    let chars = [...this.#latest.values()].reduce((sum, kept) => sum + kept.chars, 0);
    for (const [oldest, kept] of this.#latest) {
      if (chars <= REMEMBERED_CHARS_MAX && this.#latest.size <= REMEMBERED_LANES_MAX) return;
      this.#latest.delete(oldest);
      chars -= kept.chars;
    }
  }

  /** Forgets a response, if it is the latest of the lane. */
  forget(lane: string, id: string): void {
    if (this.#latest.get(lane)?.id === id) this.#latest.delete(lane);
  }
}
