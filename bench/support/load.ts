import { setTimeout as sleep } from "node:timers/promises";

import { chat, type Target } from "./chat.ts";
import type { Work } from "./work.ts";

/** Paced streams start spread over this time, so that they do not send in step. */
const SPREAD_MS = 1000;

/** A steady number of chats open at a time, from construction to `stop`, with live counts. */
export class Load {
  answers = 0;
  tokens = 0;
  readonly #failures: unknown[] = [];
  readonly #lanes: Promise<unknown>;
  #stopping = false;

  /** @param fields of each request, beside its model. */
  constructor(target: Target, work: Work, concurrency: number, fields: object = {}) {
    const onTokens = (count: number): void => {
      this.tokens += count;
    };
    const lane = async (index: number): Promise<void> => {
      if (work.intervalMs > 0)
        await sleep((index * SPREAD_MS) / concurrency + Math.random() * work.intervalMs);
      while (!this.#stopping && this.#failures.length === 0) {
        await chat(target, work, { onTokens, fields });
        this.answers += 1;
      }
    };
    this.#lanes = Promise.all(
      Array.from({ length: concurrency }, (_, index) =>
        lane(index).catch((error: unknown) => this.#failures.push(error)),
      ),
    );
  }

  /**
   * Lets the chats that are open end.
   * @throws Error if any answer was not a complete 200.
   */
  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#lanes;
    if (this.#failures.length === 0) return;
    throw new Error(`${this.#failures.length} answers failed, among them ${String(this.#failures[0])}`);
  }
}

/** The value that `share` (0 to 1) of the values are below or at. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}
