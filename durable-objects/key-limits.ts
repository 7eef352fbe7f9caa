import { DurableObject } from "cloudflare:workers";

import { DELETED_KEY_MS, RATE_SAVE_MS } from "../core/limits.ts";
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
 * The window of the last minute of one limited API key, world-wide. It is saved shortly after a change, so that the object may
 * hibernate: staying awake for a minute after each request would cost thirty times as much as the row. A reset loses what was
 * not saved. The limits come with each call, so nothing has to be kept up to date here.
 */
export class KeyLimits extends DurableObject<Env> {
  readonly #window: RateWindow;
  /** A timer runs then: an object without one is put to sleep after 10 s and forgets. */
  #isToBeSaved = false;

  constructor(context: DurableObjectState, env: Env) {
    super(context, env);
    // What a later version has written may be more than this one understands, and is worthless in a minute.
    const saved = savedWindowSchema.safeParse(context.storage.kv.get(WINDOW)).data;
    // Each instance has a name of its own, so that it never returns tokens that another one reserved and did not save.
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

  /** Its key was deleted. What is kept goes once no request can come or run with the key any more. */
  async forget(): Promise<void> {
    await this.ctx.storage.setAlarm(Date.now() + DELETED_KEY_MS);
  }

  /** Only `forget` sets one. */
  override async alarm(): Promise<void> {
    await this.ctx.storage.deleteAll();
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
