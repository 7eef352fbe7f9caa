import { MAX_EPOCH, type Epoch, type MachineId, type ModelId } from "../../protocol/ids.ts";
import type { Hardware, Register } from "../../protocol/upstream.ts";
import type { Flags } from "../flags.ts";
import type { Identity } from "../pool/connection.ts";
import { plausibleSpeeds } from "../pool/plausible.ts";
import { compareVersions } from "../semver.ts";

/** A machine as the fleet knows it, connected or not. Owner and key are those of its first register until it is deleted (H22). */
export interface Machine {
  readonly machineId: MachineId;
  readonly owner: string;
  readonly publicKey: string;
  readonly version: string | null;
  readonly sessionId: string;
  /** Of the provider token that it last registered with; null if it did so before that was kept. */
  readonly tokenId: string | null;
  readonly privateOnly: boolean;
  readonly hardware: Hardware;
  readonly models: readonly MachineModel[];
  readonly maxConcurrency: number;
  /** The list of pools it was last told. */
  readonly pools: readonly ModelId[];
  readonly isQuarantined: boolean;
  /** Since when an operator has kept requests away from it, ms since the epoch; null if none does. */
  readonly cordonedAt: number | null;
  /** When the last of them stopped; null while it is cordoned, and if it never was. */
  readonly uncordonedAt: number | null;
  readonly firstRegisteredAt: number;
  readonly registeredAt: number;
  /** When a tick found that it had no connection any more, ms since the epoch; null while it has one. */
  readonly goneAt: number | null;
  /** When a pool said that it had stopped in order, ms since the epoch; null if it has been here since, or has never said so. */
  readonly leftAt: number | null;
}

/** A model on its disk. Speeds are the machine's own measurements, tokens per second. */
export interface MachineModel {
  readonly id: ModelId;
  readonly sizeBytes: number;
  readonly decodeTps: number | null;
  readonly prefillTps: number | null;
}

/** Which pool may hold a socket or a record of a machine; written before that can be so (H1). */
export interface Membership {
  readonly machineId: MachineId;
  readonly pool: string;
  readonly dialedAt: number;
}

/** After a failed load the machine is not given that model again before `until`. */
export interface Cooldown {
  readonly machineId: MachineId;
  readonly model: ModelId;
  readonly until: number;
}

/**
 * The newest order about a machine and how far it is; there is never more than one (H4). It stays when it is done:
 * it says to whom the machine belongs.
 */
export interface Intent {
  readonly machineId: MachineId;
  readonly epoch: Epoch;
  /** Null: the machine is released, and assigned to no model. */
  readonly model: ModelId | null;
  readonly from: ModelId | null;
  readonly reason: string;
  readonly phase: "releasing" | "expecting" | "ordered" | "done";
  /** Null until it is done. */
  readonly outcome: "succeeded" | "failed" | null;
  readonly error: { readonly code: string; readonly message: string } | null;
  /** Pools that have not confirmed yet that they let go of the machine. */
  readonly pending: readonly string[];
  /** Pools that may have the machine on record as theirs: one at most, unless an order was not understood after a step back. */
  readonly holders: readonly string[];
  /** The machine is known to have heard of the order. */
  readonly isHeard: boolean;
  /** An operator's order, which placement leaves alone. */
  readonly isPinned: boolean;
  readonly startedAt: number;
  /** When the phase was entered. */
  readonly phaseAt: number;
  /** Unanswered rounds of the present phase, for the backoff, and when the next is due. */
  readonly rounds: number;
  readonly retryAt: number | null;
}

/** Why a machine that has failed gets its model once more. */
export const RETRIED = "again after its cooldown";

/** One line of the switch history. */
export interface Switch {
  readonly at: number;
  readonly machineId: MachineId;
  readonly from: ModelId | null;
  readonly to: ModelId | null;
  readonly epoch: Epoch;
  readonly reason: string;
  readonly outcome: "succeeded" | "failed" | "superseded";
  readonly error: string | null;
  readonly tookMs: number;
}

/** How many switches to a model have ever ended so. Releases are none. */
export interface SwitchTotal {
  readonly model: string;
  readonly outcome: Switch["outcome"];
  readonly switches: number;
}

/**
 * What the fleet keeps. Writes take effect together, up to the next await of the caller. One that throws has changed nothing, and
 * what it would have changed must not count in memory either.
 */
export interface FleetStore {
  machines(): Machine[];
  saveMachine(machine: Machine): void;
  removeMachine(machineId: MachineId): void;
  memberships(): Membership[];
  saveMembership(membership: Membership): void;
  removeMembership(machineId: MachineId, pool: string): void;
  intents(): Intent[];
  saveIntent(intent: Intent): void;
  removeIntent(machineId: MachineId): void;
  cooldowns(): Cooldown[];
  saveCooldown(cooldown: Cooldown): void;
  removeCooldown(machineId: MachineId, model: ModelId): void;
  /** Version of the settings that each pool has confirmed. */
  configured(): [pool: string, version: number][];
  saveConfigured(pool: string, version: number): void;
  addSwitch(entry: Switch): void;
  /** Removes the newest line about the machine if it is as this one, but for its times and its epoch. */
  removeRepeated(entry: Switch): void;
  /** The newest first. */
  switches(limit: number): Switch[];
}

export function machineOf(
  register: Register,
  { owner, tokenId }: Pick<Identity, "owner" | "tokenId">,
  known: Machine | null,
  pools: readonly ModelId[],
  now: number,
): Machine {
  return {
    machineId: register.machine_id,
    owner: known?.owner ?? owner,
    publicKey: known?.publicKey ?? register.public_key,
    version: register.version ?? null,
    sessionId: register.session_id,
    tokenId,
    privateOnly: register.private_only ?? false,
    hardware: register.hardware,
    models: register.models.map((model) => ({
      id: model.id,
      sizeBytes: model.size_bytes,
      ...plausibleSpeeds(model),
    })),
    maxConcurrency: register.max_concurrency,
    pools,
    isQuarantined: known?.isQuarantined ?? false,
    cordonedAt: known?.cordonedAt ?? null,
    uncordonedAt: known?.uncordonedAt ?? null,
    firstRegisteredAt: known?.firstRegisteredAt ?? now,
    registeredAt: now,
    goneAt: null,
    leftAt: null,
  };
}

/** Why a machine may not be given an assignment, in words for its owner; null if it may. */
export function unmanageableBecause(
  machine: Machine,
  flags: Flags,
): { readonly code: "quarantined" | "owner_private" | "provider_too_old"; readonly message: string } | null {
  if (machine.isQuarantined) return { code: "quarantined", message: "the machine is quarantined" };
  if (machine.privateOnly) {
    return { code: "owner_private", message: "the machine serves its owner only (--private)" };
  }
  const least = flags.assign_min_provider_version;
  if (compareVersions(machine.version, least) < 0) {
    const has = machine.version ?? "none";
    return { code: "provider_too_old", message: `provider version ${has} is older than ${least}; update it` };
  }
  return null;
}

/** Why the newest order about a machine is its last one, and what helps. */
export const EPOCHS_USED_UP =
  "its epochs are used up, so it keeps what it holds; quarantine it and start its provider with another --machine-id";

export function hasEpochLeft(intent: Intent | null): boolean {
  return intent === null || intent.epoch < MAX_EPOCH;
}
