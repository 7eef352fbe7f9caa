import { setTimeout as sleep } from "node:timers/promises";

import OpenAI, { APIError } from "openai";

/** Chats with one model, one after the other, and what came of them. */

const WRONG = "answered by the wrong model";

export interface ChatOutcome {
  /** `answered`, or how it was refused. */
  readonly what: string;
  readonly retryAfterS: number | null;
}

export class ChatLoop {
  readonly #client: OpenAI;
  readonly #model: string;
  readonly #pauseMs: number;
  readonly #outcomes = new Map<string, number>();
  readonly #first = Promise.withResolvers<void>();
  readonly #refused = Promise.withResolvers<ChatOutcome>();
  #isStopped = false;
  #ended: Promise<void> = Promise.resolve();

  /** @param pauseMs between a refusal and the next try. */
  constructor(baseURL: string, apiKey: string, model: string, pauseMs: number) {
    // Refusals are part of the story, so nothing is retried.
    this.#client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
    this.#model = model;
    this.#pauseMs = pauseMs;
  }

  start(): void {
    this.#ended = this.#run();
  }

  /** Settles with the first answer. */
  answered(): Promise<void> {
    return this.#first.promise;
  }

  /** Settles with the first refusal. */
  refused(): Promise<ChatOutcome> {
    return this.#refused.promise;
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#ended;
  }

  hasWrongAnswer(): boolean {
    return this.#outcomes.has(WRONG);
  }

  summary(): string {
    const parts = [...this.#outcomes].map(([outcome, count]) => `${count} ${outcome}`);
    return `${this.#model}: ${parts.join(", ")}`;
  }

  async #run(): Promise<void> {
    while (!this.#isStopped) {
      const outcome = await this.#chat();
      this.#outcomes.set(outcome.what, (this.#outcomes.get(outcome.what) ?? 0) + 1);
      if (outcome.what === "answered") {
        this.#first.resolve();
      } else {
        this.#refused.resolve(outcome);
        await sleep(this.#pauseMs);
      }
    }
  }

  async #chat(): Promise<ChatOutcome> {
    try {
      const completion = await this.#client.chat.completions.create({
        model: this.#model,
        messages: [{ role: "user", content: "Who are you?" }],
        temperature: 0.7,
        top_p: 0.9,
        seed: 7,
      });
      const text = completion.choices[0]?.message.content ?? "";
      // Each of the tiny models says its name.
      const name = this.#model.replace("tiny-", "");
      return { what: text.toLowerCase().includes(name) ? "answered" : WRONG, retryAfterS: null };
    } catch (error) {
      if (!(error instanceof APIError)) throw error;
      const headers: unknown = error.headers;
      const retryAfter = headers instanceof Headers ? headers.get("retry-after") : null;
      return {
        what: `refused with ${error.status} ${error.code}`,
        retryAfterS: retryAfter === null ? null : Number(retryAfter),
      };
    }
  }
}
