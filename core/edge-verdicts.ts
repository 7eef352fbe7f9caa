import type { ApiErrorCode } from "./api-error.ts";
import { EDGE_TALLY_MAX, EDGE_VERDICTS_MAX, LONGEST_VERDICT_MS } from "./limits.ts";

/**
 * Refusals that the edge gives without asking the pool. Under a flood most requests for a model get the same refusal, and
 * answering each of them would take CPU time from the one object that could serve some. So a pool may say with a refusal for
 * how long it holds, at most a second, and whether for all clients or for one key that has more than its share. During that
 * time the isolate repeats the refusal by itself.
 *
 * These requests are still counted, as demand, because the model would look unwanted just when it is wanted most (F8), and
 * as usage of their key. The counts are sent to the pool in batches.
 */

export interface Refusal {
  readonly code: ApiErrorCode;
  readonly status: number;
  /** JSON in OpenAI's error envelope. */
  readonly body: string;
  /** The pool's own value, not rounded. */
  readonly retryAfterS: number;
}

export class EdgeVerdicts {
  readonly #held = new Map<string, { readonly refusal: Refusal; readonly until: number }>();

  /** @param keyId the key that it holds for; null for all. */
  hold(model: string, keyId: string | null, refusal: Refusal, holdsForMs: number, now: number): void {
    if (holdsForMs <= 0) return;
    // Verdicts last a second at most, so little is lost.
    if (this.#held.size >= EDGE_VERDICTS_MAX) this.#held.clear();
    const until = now + Math.min(holdsForMs, LONGEST_VERDICT_MS);
    this.#held.set(nameOf(model, keyId), { refusal, until });
  }

  /** The refusal that holds now for this key and model; null if the pool has to be asked. */
  find(model: string, keyId: string, now: number): Refusal | null {
    if (this.#held.size === 0) return null;
    return this.#find(nameOf(model, null), now) ?? this.#find(nameOf(model, keyId), now);
  }

  #find(name: string, now: number): Refusal | null {
    const held = this.#held.get(name);
    if (held === undefined) return null;
    if (now < held.until) return held.refusal;
    this.#held.delete(name);
    return null;
  }
}

function nameOf(model: string, keyId: string | null): string {
  return `${model} ${keyId ?? ""}`;
}

/** Requests of one key for one model that were refused for the same reason. */
export interface RefusalCount {
  readonly code: ApiErrorCode;
  readonly keyId: string;
  readonly requests: number;
  /** The sum, estimated from the requests' lengths. */
  readonly promptTokens: number;
}

/** Counts of refusals that were not sent to the pools yet. */
export class RefusalTally {
  readonly #counts = new Map<string, Map<string, RefusalCount>>();
  #entries = 0;

  /** If so, requests go to the pool: only refusals that can be counted are given here. */
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
