import type { ApiError } from "../../core/api-error.ts";
import type { Answer, PoolRequest } from "../../core/pool/request.ts";

/** One client's request and its outcome, of which there is exactly one (invariant 6). */
export class SimClient implements Answer {
  readonly id: string;
  outcome: string | null = null;
  request: PoolRequest | null = null;
  readonly #onBreach: (what: string) => void;
  readonly #onRefused: (code: string) => void;
  #hasBytes = false;

  constructor(id: string, onBreach: (what: string) => void, onRefused: (code: string) => void) {
    this.id = id;
    this.#onBreach = onBreach;
    this.#onRefused = onRefused;
  }

  complete(): void {
    this.#end("complete");
  }

  refuse(error: ApiError): void {
    if (this.#hasBytes) this.#onBreach(`[6] ${this.id} was refused after bytes`);
    this.#onRefused(error.code);
    this.#end(`refused ${error.code}`);
  }

  write(): number {
    if (this.outcome !== null) this.#onBreach(`[6] ${this.id} got bytes after ${this.outcome}`);
    this.#hasBytes = true;
    return 0;
  }

  finish(): void {
    this.#end("finished");
  }

  breakOff(error: ApiError): void {
    this.#end(`broken ${error.code}`);
  }

  /** The client left, or its pool was reset. */
  leave(why: string): void {
    this.outcome ??= why;
  }

  #end(outcome: string): void {
    if (this.outcome !== null) this.#onBreach(`[6] ${this.id} ended twice: ${this.outcome}, ${outcome}`);
    this.outcome = outcome;
  }
}
