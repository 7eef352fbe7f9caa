import { DurableObject } from "cloudflare:workers";

import { RATE_SAVE_MS } from "../core/limits.ts";
import {
  RateWindow,
  savedWindowSchema,
  type RateLimits,
  type RateQuestion,
  type RateVerdict,
  type Reservation,
} from "../core/rate-limit.ts";
import type { Env } from "./env.ts";
import { logError } from "./log.ts";

/**
 * The last minute of one limited API key, for the whole world in one place. It is saved shortly after it has changed, and
 * then the object may sleep: to stay awake for a minute after each request would cost thirty times as much as the row. A
 * reset forgives what was not saved yet. The limits come with each question, so there is nothing here to keep up to date.
 */
export class KeyLimits extends DurableObject<Env> {
  readonly #window: RateWindow;
  /** A timer runs then: an object without one is put to sleep after 10 s and forgets. */
  #isToBeSaved = false;

  constructor(context: DurableObjectState, env: Env) {
    super(context, env);
    // What a later version has written may be more than this one understands, and is worthless in a minute.
    const saved = savedWindowSchema.safeParse(context.storage.kv.get(WINDOW)).data;
    // Each life has a name of its own, so that it never gives back what another has held and not saved.
    this.#window = new RateWindow(crypto.randomUUID(), saved);
  }

  admit(limits: RateLimits, question: RateQuestion): RateVerdict {
    const verdict = this.#window.admit(limits, question, Date.now());
    if (verdict.admitted) this.#saveSoon();
    return verdict;
  }

  /** The request has ended and used this many tokens. */
  settle(reservation: Reservation, usedTokens: number): void {
    this.#window.settle(reservation, usedTokens, Date.now());
    this.#saveSoon();
  }

  #saveSoon(): void {
    if (this.#isToBeSaved) return;
    this.#isToBeSaved = true;
    setTimeout(() => this.#save(), RATE_SAVE_MS);
  }

  #save(): void {
    this.#isToBeSaved = false;
    try {
      this.ctx.storage.kv.put(WINDOW, this.#window.saved());
    } catch (error) {
      // As when the free plan's rows of a day are used up: the object goes on from memory, and forgets when it sleeps.
      logError("key_limits_not_saved", { keyId: this.ctx.id.name ?? null, error: String(error) });
    }
  }
}

const WINDOW = "window";
