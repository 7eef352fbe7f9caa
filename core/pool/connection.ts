import type { CloseReason } from "../../protocol/close-codes.ts";
import type { MachineId, ModelId } from "../../protocol/ids.ts";
import type { Heartbeat, Register } from "../../protocol/upstream.ts";
import { STREAM_BLOCK } from "../limits.ts";
import type { Attempt } from "./attempt.ts";
import { UNPROVEN, type Trust } from "./attestation.ts";
import type { Breaker } from "./breakers.ts";
import { CacheKeys, type Keyed } from "./cache-keys.ts";
import { Prefixes } from "./prefixes.ts";
import type { PoolRecord } from "./record.ts";
import type { RequestSpec } from "./request.ts";

/**
 * One provider socket as a pool sees it. What must outlive hibernation is in `ConnectionState`, which the shell
 * keeps with the socket; what only matters while requests run (the streams) is in memory, since an open request
 * keeps the pool awake.
 */

/** What was known at the upgrade; the Worker and the fleet have checked it. */
export interface Identity {
  readonly machineId: MachineId;
  readonly owner: string;
  /** The provider token used; revoking it closes the socket. */
  readonly tokenId: string;
  readonly acceptedAt: number;
}

/** What the machine said of itself, from `register` and the heartbeats after it. */
export interface Registration {
  readonly sessionId: string;
  readonly version: string | null;
  /** P-256 SPKI, base64, if it is what it should be; the fleet has bound it to the machine. */
  readonly publicKey: string;
  /** Whether it answers challenges, by its own word. */
  readonly attests: boolean;
  /** Such as `Apple M3 Ultra`. */
  readonly chip: string;
  readonly privateOnly: boolean;
  /** Whether this pool's model is on the machine's disk. */
  readonly advertises: boolean;
  /** The provider's own measurements for this pool's model, tokens per second. */
  readonly decodeTps: number | null;
  readonly prefillTps: number | null;
  /** What one request for this pool's model may take up, in tokens; null: as the catalog says. */
  readonly contextLength: number | null;
  readonly loadedModels: readonly ModelId[];
  readonly maxConcurrency: number;
  /** Requests the machine runs in all its pools. */
  readonly running: number;
  readonly accepting: boolean;
  /** Its owner has reserved it for now. Left out in what an earlier version has saved. */
  readonly reserved?: boolean;
  readonly thermalState: "nominal" | "fair" | "serious" | "critical";
  /** The assignment it believes in. */
  readonly held: Heartbeat["assignment"];
}

/** A register that waits for the fleet's word on it, or before that for a proof of its key. */
export interface Admitting {
  readonly registration: Registration;
  readonly register: Register;
  /** When to ask again because the fleet did not answer; null while an answer is under way. */
  readonly askAgainAt: number | null;
  /** How often the fleet was asked and did not answer. */
  readonly silences: number;
  /** Another program that has proven the key serves as this machine: the fleet is asked only once this one has proven it, too. */
  readonly mustProve: boolean;
  /** It came as an `offer` on a socket that is in already, and is about what the machine has on its disk only. */
  readonly isOffer: boolean;
}

/** Plain data, well under the 16 KiB a socket attachment may hold. */
export interface ConnectionState {
  readonly identity: Identity;
  /** Null until `register` was accepted. */
  readonly registration: Registration | null;
  /** Every stream number below this may have been used on the socket. */
  readonly streamsReserved: number;
  /** When the socket closes at the latest, since the provider has become too old; null if it has not. */
  readonly retiresAt: number | null;
  readonly trust: Trust;
}

/** The socket, as little of it as a pool needs. Calls on a socket that is gone do nothing. */
export interface PoolSocket {
  send(text: string): void;
  close(reason: CloseReason, detail?: string): void;
  /** Keeps the state where it survives hibernation. */
  save(state: ConnectionState): void;
  /** When the platform last answered a ping for the pool, in ms since the epoch; 0 for never. */
  lastPongAt(): number;
}

/** What tells which prompts begin alike. */
export type Beginning = Pick<RequestSpec, "prefix"> & Keyed;

/** Who keeps machines in order, and so wants to hear of all that they are chosen by. */
export interface ConnectionWatcher {
  changed(connection: Connection): void;
  /** @param added hashes of beginnings of prompts, and of cache keys. */
  hasRead(connection: Connection, added: Iterable<number>, forgotten: Iterable<number>): void;
}

export class Connection {
  readonly socket: PoolSocket;
  readonly identity: Identity;
  /** Kept here by whoever watches it. */
  watcher: ConnectionWatcher | null = null;
  /** Its number among the machines of the pool, in the order in which they came. */
  arrival = 0;
  /** Between `register` and the fleet's word on it. */
  admitting: Admitting | null = null;
  /** An offer that came while the fleet was asked about an earlier word. */
  nextOffer: Register | null = null;
  /** The pool's record of the machine; kept here by the pool, so that the gate need not look for it. */
  record: PoolRecord | null = null;
  /** The model an owner's request has taken the machine away to; null while it is at its own (H21). */
  visitedModel: ModelId | null = null;
  /** When `prefillTps` was measured; before the first measurement, when the socket was accepted. */
  prefillSaidAt: number;
  /** Set while the machine has failed of late. */
  breaker: Breaker | null = null;
  /** The machine is known to have registered in the pool it belongs to now, so this socket may go (H6). */
  isDismissed = false;
  /**
   * When the socket closes at the latest, since the provider has become too old and gets nothing new; null if it has
   * not.
   */
  retiresAt: number | null;
  /** An operator keeps requests away from the machine, those of its owner too; kept here by the pool, like the record. */
  isCordoned = false;
  /** What it has proven on this socket. */
  trust: Trust;
  /** From then on it may get no public requests, ms since the epoch; kept here by `Attestation`, like the record. */
  trustedUntil = 0;
  /** Its answer to the open challenge is being checked. */
  isBeingJudged = false;
  lastMessageAt: number;
  /** Set by a refusal for lack of room, cleared by the machine's next heartbeat: its count was ahead of ours. */
  refusedUntil = 0;
  /** Since it last completed a request. */
  refusalsInARow = 0;
  closed = false;
  /** What it has read on this socket and may have cached. */
  readonly #prefixes = new Prefixes();
  readonly #cacheKeys = new CacheKeys();
  readonly #attempts = new Map<number, Attempt>();
  #registration: Registration | null;
  #prefillTps: number | null = null;
  #lastPickedAt = 0;
  #nextStream: number;
  #streamsReserved: number;

  /** @param restored the state saved by an earlier life of the pool, or null for a socket just accepted. */
  constructor(socket: PoolSocket, identity: Identity, restored: ConnectionState | null) {
    this.socket = socket;
    this.identity = identity;
    this.#registration = restored?.registration ?? null;
    this.lastMessageAt = identity.acceptedAt;
    this.prefillSaidAt = identity.acceptedAt;
    this.retiresAt = restored?.retiresAt ?? null;
    this.trust = restored?.trust ?? UNPROVEN;
    this.#nextStream = restored?.streamsReserved ?? 0;
    this.#streamsReserved = this.#nextStream;
  }

  get registration(): Registration | null {
    return this.#registration;
  }

  set registration(registration: Registration | null) {
    this.#registration = registration;
    this.watcher?.changed(this);
  }

  /** Prompt tokens read per second, measured by answers on this socket to long prompts; null before the first. */
  get prefillTps(): number | null {
    return this.#prefillTps;
  }

  set prefillTps(tps: number) {
    this.#prefillTps = tps;
    this.watcher?.changed(this);
  }

  /** When a request was last sent to it; the least recently used of equals is picked. */
  get lastPickedAt(): number {
    return this.#lastPickedAt;
  }

  set lastPickedAt(at: number) {
    this.#lastPickedAt = at;
    this.watcher?.changed(this);
  }

  /** Requests sent down this socket and not settled, by stream: each holds a slot. */
  get attempts(): ReadonlyMap<number, Attempt> {
    return this.#attempts;
  }

  begin(attempt: Attempt): void {
    this.#attempts.set(attempt.stream, attempt);
    this.lastPickedAt = attempt.sentAt;
  }

  end(attempt: Attempt): void {
    this.#attempts.delete(attempt.stream);
    this.watcher?.changed(this);
  }

  /** Of a prompt of so many tokens, those that the machine should have cached. */
  cachedTokensOf(beginning: Beginning, promptTokens: number): number {
    const { prefix, cacheKeys } = beginning;
    // The bytes of a prefix may come to more than a prompt is estimated at.
    const byPrefix = prefix.length === 0 ? 0 : Math.min(promptTokens, this.#prefixes.expectedTokens(prefix));
    return cacheKeys.length === 0
      ? byPrefix
      : Math.max(byPrefix, this.#cacheKeys.expectedTokens(beginning, promptTokens));
  }

  /**
   * The machine has answered a prompt of so many tokens.
   * @param cachedTokens it had of it; null if it does not say.
   */
  hasRead(beginning: Beginning, promptTokens: number, cachedTokens: number | null): void {
    const byPrefix = this.#prefixes.learn(beginning.prefix, cachedTokens);
    const byKey = this.#cacheKeys.learn(beginning, promptTokens, cachedTokens);
    this.watcher?.hasRead(this, byPrefix.added, byPrefix.forgotten);
    this.watcher?.hasRead(this, byKey.added, byKey.forgotten);
  }

  hasReadPrefix(hash: number): boolean {
    return this.#prefixes.has(hash);
  }

  /** The hashes of all that it has read. */
  *allRead(): Generator<number> {
    yield* this.#prefixes.all();
    yield* this.#cacheKeys.all();
  }

  /** Whatever it has read, it may have let go of it. */
  forgetRead(): void {
    this.watcher?.hasRead(this, [], this.allRead());
    this.#prefixes.clear();
    this.#cacheKeys.clear();
  }

  get isOwnerBusy(): boolean {
    return this.visitedModel !== null;
  }

  /**
   * The owner's visit is over, unless one of its requests is still open: then the news of its end is older than that
   * request.
   */
  endVisit(): void {
    for (const { model } of this.attempts.values()) if (model === this.visitedModel) return;
    this.visitedModel = null;
  }

  /** A stream number never used on this socket, also not before the pool last slept. */
  openStream(): number {
    if (this.#nextStream >= this.#streamsReserved) {
      this.#streamsReserved = this.#nextStream + STREAM_BLOCK;
      this.save();
    }
    return this.#nextStream++;
  }

  save(): void {
    this.socket.save({
      identity: this.identity,
      registration: this.registration,
      streamsReserved: this.#streamsReserved,
      retiresAt: this.retiresAt,
      trust: this.trust,
    });
  }

  /** Newest life sign: accept time, last message or a ping that the platform answered (H20). */
  lastSeenAt(): number {
    return Math.max(this.lastMessageAt, this.socket.lastPongAt());
  }
}
