import { DurableObject } from "cloudflare:workers";

import {
  RateWindow,
  type RateLimits,
  type RateQuestion,
  type RateVerdict,
  type Reservation,
} from "../core/rate-limit.ts";
import type { Env } from "./env.ts";

/**
 * The last minute of one limited API key, for the whole world in one place. It is only in memory: what is counted is
 * worthless a minute later, so a reset forgives a minute at most, and nothing is ever written. The limits come with
 * each question, so there is nothing here to keep up to date.
 */
export class KeyLimits extends DurableObject<Env> {
  /** Each life has a name of its own, so that it never gives back what another has held. */
  readonly #window = new RateWindow(crypto.randomUUID());
  /** Runs while the window holds anything: an object without a timer is put to sleep after 10 s and forgets. */
  #timer: ReturnType<typeof setTimeout> | null = null;

  admit(limits: RateLimits, question: RateQuestion): RateVerdict {
    const now = Date.now();
    const verdict = this.#window.admit(limits, question, now);
    this.#stayAwake(now);
    return verdict;
  }

  /** The request has ended and used this many tokens. */
  settle(reservation: Reservation, usedTokens: number): void {
    const now = Date.now();
    this.#window.settle(reservation, usedTokens, now);
    this.#stayAwake(now);
  }

  #stayAwake(now: number): void {
    if (this.#timer !== null) return;
    const waitMs = this.#window.emptyAt() - now;
    if (waitMs <= 0) return;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#stayAwake(Date.now());
    }, waitMs);
  }
}
