import {
  MAX_FOREIGN_EPOCH,
  NEVER_MANAGED,
  type Epoch,
  type MachineId,
  type ModelId,
} from "../../protocol/ids.ts";
import type { Register } from "../../protocol/upstream.ts";
import { PROTOCOL_VERSION } from "../../protocol/version.ts";
import type { ApiError } from "../api-error.ts";
import type { Flags } from "../flags.ts";
import {
  CONTESTED_MS,
  MACHINES_PER_OWNER_MAX,
  MAX_DIALS_PER_MINUTE,
  MAX_NEW_DIALS_PER_MINUTE,
} from "../limits.ts";
import { MinuteRate } from "../minute-rate.ts";
import type { AdmissionClose } from "../pool/admission.ts";
import type { Identity } from "../pool/connection.ts";
import { compareVersions } from "../semver.ts";
import type { Directory } from "./directory.ts";

/** Who may dial and who may register: tokens, owners, keys, versions, and how often (H22). */

export type Dialer = Pick<Identity, "machineId" | "owner" | "tokenId">;

export interface DialPolicyPorts {
  isRevoked(tokenId: string): boolean;
  flags(): Flags;
  /** Of the machine's newest order. */
  epochOf(machineId: MachineId): Epoch;
}

/** The newest process of a machine. */
interface Session {
  readonly sessionId: string;
  /** When its socket came. */
  readonly acceptedAt: number;
  /** The process that it has followed; null if none is known. */
  readonly before: string | null;
  /** When a process came back that another had followed: both run. Null if none ever did. */
  readonly contestedAt: number | null;
}

/** What a dial with a revoked token is told. */
export const REVOKED_TOKEN = "this provider token was revoked; ask for a new one";

export class DialPolicy {
  readonly #directory: Directory;
  readonly #ports: DialPolicyPorts;
  readonly #dials = new MinuteRate(MAX_DIALS_PER_MINUTE);
  /** By owner. */
  readonly #newDials = new MinuteRate(MAX_NEW_DIALS_PER_MINUTE);
  /** Of each machine that has registered since this object woke. */
  readonly #newestSession = new Map<MachineId, Session>();

  constructor(directory: Directory, ports: DialPolicyPorts) {
    this.#directory = directory;
    this.#ports = ports;
  }

  whyNotDial({ machineId, owner, tokenId }: Dialer): ApiError | null {
    const refuse = (message: string): ApiError => ({ code: "machine_not_allowed", message });
    if (this.#ports.isRevoked(tokenId)) return refuse(REVOKED_TOKEN);
    const known = this.#directory.get(machineId);
    if (known === null) {
      if (this.#directory.countOf(owner) < MACHINES_PER_OWNER_MAX) return null;
      return refuse(
        `"${owner}" has ${MACHINES_PER_OWNER_MAX} machines, as many as one may; have old ones removed`,
      );
    }
    if (known.owner !== owner) {
      return refuse(`machine id "${machineId}" belongs to another owner; choose another with --machine-id`);
    }
    return known.isQuarantined ? refuse(`machine "${machineId}" is quarantined; ask the operator`) : null;
  }

  /** Counts a dial. @returns an error if there were too many within a minute. */
  countDial({ machineId, owner }: Dialer, pool: ModelId, now: number): ApiError | null {
    const isNew = this.#directory.get(machineId) === null;
    const newWaitS = isNew ? this.#newDials.admit(owner, now) : null;
    const retryAfterS = newWaitS ?? this.#dials.admit(`${machineId} ${pool}`, now);
    if (retryAfterS === null) return null;
    return { code: "slow_down", message: "too many dials within a minute", retryAfterS };
  }

  /** Whether two programs have lately registered as this machine, in turns: each ends the other's connections. */
  isContested(machineId: MachineId, now: number): boolean {
    const at = this.#newestSession.get(machineId)?.contestedAt ?? -Infinity;
    return now - at < CONTESTED_MS;
  }

  whyNotRegister(identity: Identity, register: Register): AdmissionClose | null {
    if (this.whyNotDial(identity) !== null) return "notAllowed";
    const known = this.#directory.get(identity.machineId);
    if (known !== null && known.publicKey !== register.public_key) return "foreignKey";
    if (register.protocol < PROTOCOL_VERSION) return "tooOld";
    if (register.protocol > PROTOCOL_VERSION) return "badMessage";
    if (this.#isOutOfRange(identity.machineId, register)) return "badMessage";
    const least = this.#ports.flags().min_provider_version;
    if (compareVersions(register.version ?? null, least) < 0) return "tooOld";
    // From a process that has ended since: it must not overwrite what its successor registered.
    return this.#isOutdated(identity, register) ? "restart" : null;
  }

  /** No order could have a higher epoch than the one it reports, so it would ignore the fleet for ever. */
  #isOutOfRange(machineId: MachineId, { assignment }: Register): boolean {
    const held = assignment?.epoch ?? NEVER_MANAGED;
    return held > MAX_FOREIGN_EPOCH && held > this.#ports.epochOf(machineId);
  }

  #isOutdated({ machineId, acceptedAt }: Identity, register: Register): boolean {
    const newest = this.#newestSession.get(machineId);
    if (newest !== undefined && newest.sessionId !== register.session_id && acceptedAt < newest.acceptedAt) {
      return true;
    }
    this.#newestSession.set(machineId, sessionAfter(newest, register.session_id, acceptedAt));
    return false;
  }
}

function sessionAfter(newest: Session | undefined, sessionId: string, acceptedAt: number): Session {
  if (newest === undefined) return { sessionId, acceptedAt, before: null, contestedAt: null };
  if (newest.sessionId === sessionId) return { ...newest, acceptedAt };
  // A program that was only started anew has another session each time.
  const contestedAt = newest.before === sessionId ? acceptedAt : newest.contestedAt;
  return { sessionId, acceptedAt, before: newest.sessionId, contestedAt };
}
