import { isServerFault } from "../api-error.ts";
import type { RequestOutcome } from "./outcome.ts";

/** One request as a data point for Workers Analytics Engine: outcome and timings, without text or ids. */
export interface DataPoint {
  /** What the platform samples by. */
  readonly indexes: [model: string];
  readonly blobs: [model: string, outcome: Outcome, reason: string, chip: string, kind: "stream" | "whole"];
  /** Times in ms; -1 for one that does not apply. */
  readonly doubles: [
    ttftMs: number,
    queueMs: number,
    tookMs: number,
    promptTokens: number,
    cachedTokens: number,
    completionTokens: number,
    attempts: number,
  ];
}

type Outcome = "ok" | "cancelled" | "refused" | "failed";

/** The longest index that the platform takes. */
const INDEX_BYTES_MAX = 96;

export function dataPointOf(ended: RequestOutcome): DataPoint {
  const { model, outcome, machine, stream, firstTokenMs, queueMs, tookMs, tokens, attempts } = ended;
  return {
    indexes: [model.slice(0, INDEX_BYTES_MAX)],
    blobs: [model, classOf(outcome), outcome, machine?.chip ?? "", stream ? "stream" : "whole"],
    doubles: [
      firstTokenMs ?? -1,
      queueMs ?? -1,
      tookMs,
      tokens.promptTokens,
      tokens.cachedTokens,
      tokens.completionTokens,
      attempts,
    ],
  };
}

function classOf(outcome: string): Outcome {
  if (outcome === "ok" || outcome === "cancelled") return outcome;
  return isServerFault(outcome) ? "failed" : "refused";
}
