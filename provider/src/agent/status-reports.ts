import type { Epoch, ModelId } from "../../../protocol/ids.ts";
import type { Upstream } from "../../../protocol/upstream.ts";
import type { EngineError } from "../engine.ts";
import { restOfGap } from "./gap.ts";
import type { Clock } from "./ports.ts";
import type { Session } from "./session.ts";

/**
 * Reports the progress of an order to the pool of the assigned model, and to no other pool (H12). Only the newest status
 * is kept: it is sent again when the order is repeated or when that pool's socket registers late.
 */

export type AssignmentStatus = Extract<Upstream, { type: "assign_model_status" }>;
export type AssignmentErrorCode = NonNullable<AssignmentStatus["error"]>["code"];

const MIN_PROGRESS_GAP_MS = 500;
const MAX_MESSAGE_LENGTH = 2000;

export class StatusReports {
  readonly #clock: Clock;
  readonly #sessionOf: (pool: ModelId) => Session | undefined;
  #newest: AssignmentStatus | null = null;
  #sentAt = Number.NEGATIVE_INFINITY;
  /** Set while a progress update waits for the minimum gap to pass. */
  #cancelHeldBack: (() => void) | null = null;

  /** `sessionOf` returns the registered socket to a pool. */
  constructor(clock: Clock, sessionOf: (pool: ModelId) => Session | undefined) {
    this.#clock = clock;
    this.#sessionOf = sessionOf;
  }

  report(status: AssignmentStatus): void {
    this.#newest = status;
    this.repeat();
  }

  /** Remembers the status for whoever asks, without sending it now. */
  note(status: AssignmentStatus): void {
    this.#dropHeldBack();
    this.#newest = status;
  }

  /** How much of a load is done, 0 to 1. Sent at most twice a second. */
  progress(fraction: number): void {
    if (this.#newest?.status !== "loading") return;
    const progress = Math.round(Math.min(1, Math.max(0, fraction)) * 100) / 100;
    if (progress === this.#newest.progress) return;
    this.#newest = { ...this.#newest, progress };
    const waitMs = restOfGap(MIN_PROGRESS_GAP_MS, this.#sentAt, this.#clock.now());
    if (waitMs === 0) this.repeat();
    else this.#cancelHeldBack ??= this.#clock.after(waitMs, () => this.repeat());
  }

  /** Sends the newest status again. */
  repeat(): void {
    this.#dropHeldBack();
    if (this.#newest === null) return;
    this.#sentAt = this.#clock.now();
    this.#sessionOf(this.#newest.model_id)?.send(this.#newest);
  }

  /** The order has been superseded: nothing about it may be sent any more. */
  forget(): void {
    this.#dropHeldBack();
    this.#newest = null;
  }

  #dropHeldBack(): void {
    this.#cancelHeldBack?.();
    this.#cancelHeldBack = null;
  }

  /** Answers an order that is not the one this machine holds. */
  reject(modelId: ModelId, epoch: Epoch, code: AssignmentErrorCode, message: string): void {
    this.#sessionOf(modelId)?.send(failedStatus(modelId, epoch, code, message));
  }
}

export function progressStatus(
  modelId: ModelId,
  epoch: Epoch,
  status: "draining" | "loading" | "succeeded",
): AssignmentStatus {
  const progress = status === "loading" ? { progress: 0 } : {};
  return { type: "assign_model_status", model_id: modelId, epoch, status, ...progress };
}

/** The engine's own codes that the protocol has a name for; any other is `load_failed`. */
const LOAD_CODES: readonly AssignmentErrorCode[] = ["insufficient_memory", "warmup_failed"];

export function failedLoadStatus(
  modelId: ModelId,
  epoch: Epoch,
  { code, message }: EngineError,
): AssignmentStatus {
  const known = LOAD_CODES.find((each) => each === code);
  return known === undefined
    ? failedStatus(modelId, epoch, "load_failed", code === "load_failed" ? message : `${code}: ${message}`)
    : failedStatus(modelId, epoch, known, message);
}

export function failedStatus(
  modelId: ModelId,
  epoch: Epoch,
  code: AssignmentErrorCode,
  message: string,
): AssignmentStatus {
  return {
    type: "assign_model_status",
    model_id: modelId,
    epoch,
    status: "failed",
    error: { code, message: message.slice(0, MAX_MESSAGE_LENGTH) },
  };
}
