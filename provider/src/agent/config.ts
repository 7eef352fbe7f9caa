import type { MachineId, ModelId } from "../../../protocol/ids.ts";
import type { Hardware } from "../../../protocol/upstream.ts";
import type { Engine } from "../engine.ts";
import type { HeldAssignment } from "./assignment.ts";
import type {
  Attester,
  Clock,
  CreateAnswerEncoder,
  Dial,
  Log,
  OfferedModel,
  Random,
  Vitals,
} from "./ports.ts";

/** Configuration and ports of an agent, and why it can stop. */

export interface AgentConfig {
  readonly version: string;
  readonly machineId: MachineId;
  /** New for every start of the program. */
  readonly sessionId: string;
  /** P-256 SPKI, base64. */
  readonly publicKey: string;
  readonly hardware: Hardware;
  /** What is on the disk at the start; at least one. */
  readonly models: readonly OfferedModel[];
  /** Held from the start, before the coordinator has said anything; null: the first one that it lists a pool for. */
  readonly firstModel: ModelId | null;
  readonly slots: number;
  /** Of a slot; null: as many as the engine finds sensible. */
  readonly contextTokens: number | null;
  /** Serve only the owner's own requests. */
  readonly privateOnly: boolean;
  /** What `saveAssignment` was given last, in this or an earlier run of the program; null if never. */
  readonly assignment: HeldAssignment | null;
}

export interface AgentPorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly dial: Dial;
  readonly engine: Engine;
  readonly createAnswerEncoder: CreateAnswerEncoder;
  /** The newest known; cheap, called often. */
  readonly vitals: () => Vitals;
  /** Keeps the assignment over restarts; it is safe when the call returns. @throws if it could not be written. */
  readonly saveAssignment: (held: HeldAssignment) => void;
  /** Null leaves this machine at the trust level `none`. */
  readonly attester: Attester | null;
  /** What is known of a model that is not on the disk, in words that the coordinator may read; null if nothing is. */
  readonly whyMissing?: (id: ModelId) => string | null;
  readonly log: Log;
}

/** Why the agent has ended. */
export type StopCause =
  | { readonly kind: "asked" }
  | { readonly kind: "told_by_coordinator"; readonly sentence: string };
