import type { Machine, Model } from "./scenario.ts";

/**
 * What a placement policy sees and may do. Once a minute it is shown the last minute's demand (never the coming one)
 * and the machines, and answers with moves; a move of a machine that cannot be moved is dropped by the machines.
 */
export interface MachineView {
  /** `switching` is draining or loading towards `model`; `empty` failed to load. */
  readonly state: "ready" | "switching" | "empty" | "away";
  readonly model: number | null;
  /** Minute at which the model was assigned. */
  readonly since: number;
}

export interface View {
  readonly minute: number;
  /** Per model, in machine units; what was seen in the last minute, refused requests included. */
  readonly observed: readonly number[];
  readonly machines: readonly MachineView[];
}

export interface Move {
  readonly machine: number;
  readonly model: number;
}

/** A move that was ordered; `from` is null for a machine that held nothing. */
export interface DoneMove {
  readonly minute: number;
  readonly machine: number;
  readonly from: number | null;
  readonly to: number;
}

export interface Setting {
  readonly machines: readonly Machine[];
  readonly models: readonly Model[];
  readonly switchMinutes: number;
  readonly requestsPerMinute: number;
  readonly load: number;
}

export interface Policy {
  /** Called once a minute, from minute 1 on. */
  decide(view: View): Move[];
}

export type PolicyMaker = (setting: Setting) => Policy;
