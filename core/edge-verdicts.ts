import type { ApiErrorCode } from "./api-error.ts";
import { EDGE_TALLY_MAX, LONGEST_VERDICT_MS } from "./limits.ts";

/**
 * Refusals that the edge gives by itself. Under a flood most requests for a model get the same refusal, and the pool
 * that has to say so each time is the one object that could have served them. So a pool may say with a refusal for how
 * long it holds, a second at most; until then everybody who asks for that model is told the same by whoever heard it.
 *
 * They count all the same: as demand, or the model would look unwanted just when it is wanted most (F8), and as usage
 * of their key. The counts are told together.
 */

export interface Refusal {
  readonly code: ApiErrorCode;
  readonly status: number;
  /** JSON in OpenAI's error envelope. */
  readonly body: string;
  /** As the pool has said it, with a fraction. */
  readonly retryAfterS: number;
}

export class EdgeVerdicts {
  readonly #held = new Map<string, { readonly refusal: Refusal; readonly until: number }>();

  hold(model: string, refusal: Refusal, holdsForMs: number, now: number): void {
    if (holdsForMs <= 0) return;
    this.#held.set(model, { refusal, until: now + Math.min(holdsForMs, LONGEST_VERDICT_MS) });
  }

  /** What is to be told to everybody who asks for the model now; null if the pool has to be asked. */
  find(model: string, now: number): Refusal | null {
    const held = this.#held.get(model);
    if (held === undefined) return null;
    if (now < held.until) return held.refusal;
    this.#held.delete(model);
    return null;
  }
}

/** Requests of one key for one model that were refused for the same reason. */
export interface RefusalCount {
  readonly code: ApiErrorCode;
  readonly keyId: string;
  readonly requests: number;
  /** Of all of them, estimated from their length. */
  readonly promptTokens: number;
}

/** What the edge has refused and not told the pools yet. */
export class RefusalTally {
  readonly #counts = new Map<string, Map<string, RefusalCount>>();
  #entries = 0;

  get isEmpty(): boolean {
    return this.#entries === 0;
  }

  /** Then the pool has to refuse by itself: nothing is answered that cannot be counted. */
  get isFull(): boolean {
    return this.#entries >= EDGE_TALLY_MAX;
  }

  add(model: string, { code, keyId, requests, promptTokens }: RefusalCount): void {
    const ofModel = this.#counts.get(model) ?? new Map<string, RefusalCount>();
    this.#counts.set(model, ofModel);
    const name = `${code} ${keyId}`;
    const known = ofModel.get(name);
    if (known === undefined) this.#entries += 1;
    ofModel.set(name, {
      code,
      keyId,
      requests: (known?.requests ?? 0) + requests,
      promptTokens: (known?.promptTokens ?? 0) + promptTokens,
    });
  }

  /** Takes everything counted since the last call. */
  drain(): { readonly model: string; readonly counts: RefusalCount[] }[] {
    const drained = [...this.#counts].map(([model, counts]) => ({ model, counts: [...counts.values()] }));
    this.#counts.clear();
    this.#entries = 0;
    return drained;
  }
}
