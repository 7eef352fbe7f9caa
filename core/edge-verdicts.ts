import type { ApiErrorCode } from "./api-error.ts";
import { EDGE_TALLY_MAX, EDGE_VERDICTS_MAX, LONGEST_VERDICT_MS } from "./limits.ts";

/**
 * Refusals that the edge gives by itself. Under a flood most requests for a model get the same refusal, and the pool
 * that has to say so each time is the one object that could have served them. So a pool may say with a refusal for how
 * long it holds, a second at most, and whether for all or for one key that has more than its share; until then whoever
 * it holds for and asks for that model is told the same by the isolate that heard it.
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

  /** @param keyId the key that it holds for; null for all. */
  hold(model: string, keyId: string | null, refusal: Refusal, holdsForMs: number, now: number): void {
    if (holdsForMs <= 0) return;
    // None of them matters for longer than a second, so nothing much is lost.
    if (this.#held.size >= EDGE_VERDICTS_MAX) this.#held.clear();
    const until = now + Math.min(holdsForMs, LONGEST_VERDICT_MS);
    this.#held.set(nameOf(model, keyId), { refusal, until });
  }

  /** What the key is to be told if it asks for the model now; null if the pool has to be asked. */
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
  /** Of all of them, estimated from their length. */
  readonly promptTokens: number;
}

/** What the edge has refused and not told the pools yet. */
export class RefusalTally {
  readonly #counts = new Map<string, Map<string, RefusalCount>>();
  #entries = 0;

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
