import type { DutyPhase } from "./duty.ts";
import type { Holding } from "./model-holder.ts";

/** What a person wants to see of a running agent. */
export interface AgentStatus {
  readonly state: "serving" | "draining" | "loading" | "idle" | "failed" | "stopping";
  /** What is loaded or being loaded; of a failed order, what could not be. */
  readonly model: string | null;
  /** Of a load, 0 to 1. */
  readonly progress: number;
  readonly running: number;
  readonly slots: number;
  /** Pieces of answers written since the start. */
  readonly tokens: number;
  readonly pools: number;
  /** When the next dial is due, if there is no connection. */
  readonly nextDialAt: number | null;
  /** Why it serves its owner only; null while it serves everybody. */
  readonly reservedBecause: string | null;
  /** Null while the machine chooses its model itself. */
  readonly assignment: {
    readonly model: string;
    readonly epoch: number;
    readonly reason: string;
    readonly phase: DutyPhase;
  } | null;
}

export function stateOf(isStopping: boolean, phase: DutyPhase, holding: Holding): AgentStatus["state"] {
  if (isStopping) return "stopping";
  // An order has a state of its own also while nothing is in memory yet.
  if (phase === "draining" || phase === "loading" || phase === "failed") return phase;
  switch (holding.status) {
    case "empty":
      return "idle";
    case "loading":
      return "loading";
    case "loaded":
      return "serving";
  }
}
