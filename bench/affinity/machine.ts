import type { Connection, PoolSocket } from "../../core/pool/connection.ts";
import { decodeDownstream } from "../../protocol/codec.ts";
import type { Turn } from "./conversations.ts";

/**
 * A Mac on a virtual clock: it reads one prompt after the other, but what it has in its cache, and then writes all
 * answers at once, each the slower the more there are. It keeps as many conversations as it has places for.
 */

export interface Speeds {
  readonly prefillTps: number;
  /** Of one stream alone. */
  readonly decodeTps: number;
  readonly slots: number;
  /** Conversations whose cache it keeps. */
  readonly places: number;
}

/** What it wants done later. */
export type Schedule = (atMs: number, run: () => void) => void;

/** What a machine says of a request. */
export interface Words {
  accepted(requestId: string, stream: number): void;
  firstToken(stream: number): void;
  done(requestId: string, stream: number, answer: Answered): void;
}

export interface Answered {
  readonly turn: Turn;
  readonly cachedTokens: number;
  readonly prefillMs: number;
  readonly decodeMs: number;
}

/** Each stream more slows each down by this share of its speed alone. */
const SLOWDOWN_PER_STREAM = 0.35;

export class SimulatedMac implements PoolSocket {
  connection: Connection | null = null;
  readonly #speeds: Speeds;
  readonly #turnOf: (requestId: string) => Turn;
  readonly #schedule: Schedule;
  readonly #now: () => number;
  readonly #words: Words;
  /** Tokens held of each conversation, the least recently used first. */
  readonly #cache = new Map<number, number>();
  #readsUntil = 0;
  #streams = 0;

  constructor(
    speeds: Speeds,
    turnOf: (requestId: string) => Turn,
    schedule: Schedule,
    now: () => number,
    words: Words,
  ) {
    this.#speeds = speeds;
    this.#turnOf = turnOf;
    this.#schedule = schedule;
    this.#now = now;
    this.#words = words;
  }

  send(text: string): void {
    const decoded = decodeDownstream(text);
    if (!decoded.ok || decoded.value.type !== "inference_request") return;
    const { request_id: requestId, stream } = decoded.value;
    const turn = this.#turnOf(requestId);
    const { prefillTps, decodeTps } = this.#speeds;
    this.#schedule(this.#now(), () => this.#words.accepted(requestId, stream));
    const startsAt = Math.max(this.#now(), this.#readsUntil);
    // At least one token is always read.
    const sharedTokens = this.#cache.size > 0 ? turn.sharedTokens : 0;
    const cachedTokens = Math.min(this.#cache.get(turn.conversation) ?? sharedTokens, turn.promptTokens - 1);
    const prefillMs = (1000 * (turn.promptTokens - cachedTokens)) / prefillTps;
    this.#readsUntil = startsAt + prefillMs;
    this.#hold(turn.conversation, turn.promptTokens + turn.outputTokens);
    this.#schedule(this.#readsUntil, () => {
      this.#streams += 1;
      this.#words.firstToken(stream);
      const slowdown = 1 + SLOWDOWN_PER_STREAM * (this.#streams - 1);
      const decodeMs = (1000 * turn.outputTokens * slowdown) / decodeTps;
      this.#schedule(this.#now() + decodeMs, () => {
        this.#streams -= 1;
        this.#words.done(requestId, stream, { turn, cachedTokens, prefillMs, decodeMs });
      });
    });
  }

  close(): void {
    throw new Error("nothing here is wrong enough to be closed");
  }

  save(): void {}

  lastPongAt(): number {
    return this.#now();
  }

  #hold(conversation: number, tokens: number): void {
    this.#cache.delete(conversation);
    this.#cache.set(conversation, tokens);
    for (const oldest of this.#cache.keys()) {
      if (this.#cache.size <= this.#speeds.places) break;
      this.#cache.delete(oldest);
    }
  }
}
