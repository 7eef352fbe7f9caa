import { z } from "zod";

import { encodeDownstream } from "../../protocol/codec.ts";
import type { AttestationResponse } from "../../protocol/upstream.ts";
import { CHALLENGE_INTERVAL_MS, PROOF_LASTS_MS, PROOF_WAIT_MS } from "../limits.ts";
import type { Connection } from "./connection.ts";

/**
 * Challenges machines to prove that they hold their keys, at registration and every few minutes after it. The proven level
 * belongs to the socket and is never carried over to another one, and certificate chains are not stored, so each grant is
 * verified again (F4).
 *
 * No timer is needed: a machine that is due is challenged at its next message, and a heartbeat comes every minute.
 */

/** Trust levels, in ascending order. */
export const TRUST_LEVELS = ["none", "self_signed", "hardware"] as const;
export type TrustLevel = (typeof TRUST_LEVELS)[number];

/** What a machine has proven on its socket. Plain data, because it is saved with the socket during hibernation. */
export interface Trust {
  /** By its last answer, right or wrong. */
  readonly level: TrustLevel;
  /** When the challenge was sent that it answered, ms since the epoch; 0 for never. */
  readonly provenAt: number;
  /** Why it is not more; null if nothing was wrong with its answer. */
  readonly problem: string | null;
  /** When the last challenge was sent; 0 for never. */
  readonly askedAt: number;
  /** Of that challenge; null once the answer has been judged. */
  readonly nonce: string | null;
}

export const UNPROVEN: Trust = { level: "none", provenAt: 0, problem: null, askedAt: 0, nonce: null };

/** An answer to a challenge, with what it is checked against. */
export interface Proof extends Omit<AttestationResponse, "type"> {
  /** When the challenge was sent, ms since the epoch. */
  readonly issuedAt: number;
  /** The key that the machine registered with on this very socket: P-256 SPKI, base64. */
  readonly publicKey: string;
}

export interface ProofVerdict {
  readonly level: TrustLevel;
  /** Why it is not more; null if nothing was wrong. */
  readonly problem: string | null;
}

export interface AttestationHost {
  machines(): Iterable<Connection>;
  /** Unguessable, another each time. */
  nonce(): string;
  /** Checks signatures; the verdict comes back through `judged`. */
  verify(connection: Connection, proof: Proof): void;
  /** A machine has proven something, or has failed to. */
  onJudged(now: number): void;
}

export class Attestation {
  readonly #host: AttestationHost;
  #least: TrustLevel;
  /** Machines that may be about to prove what is demanded, and until when requests wait for them, ms since the epoch. */
  readonly #awaited = new Map<Connection, number>();

  /** @param least the level below which a machine gets no public requests. */
  constructor(host: AttestationHost, least: TrustLevel) {
    this.#host = host;
    this.#least = least;
  }

  /** The fleet demands this level from now on. */
  heed(least: TrustLevel, now: number): void {
    if (least === this.#least) return;
    this.#least = least;
    this.#awaited.clear();
    for (const connection of this.#host.machines()) {
      this.weigh(connection);
      this.#await(connection, now);
      this.askIfDue(connection, now);
    }
  }

  /** Sets until when the socket may get public requests by what has been proven on it. */
  weigh(connection: Connection): void {
    const { level, provenAt } = connection.trust;
    if (!this.#isDemanding) connection.trustedUntil = Infinity;
    else connection.trustedUntil = rank(level) >= rank(this.#least) ? provenAt + PROOF_LASTS_MS : 0;
  }

  askIfDue(connection: Connection, now: number): void {
    const { registration, trust } = connection;
    const isFresh = now >= trust.askedAt && now - trust.askedAt < CHALLENGE_INTERVAL_MS;
    if (registration === null || isFresh) return;
    if (!registration.attests && !this.#isDemanding) return;
    // A machine that left its last challenge unanswered is not waited for again: it may not know challenges.
    const isSilent = trust.nonce !== null;
    this.challenge(connection, now);
    if (!isSilent) this.#await(connection, now);
  }

  /** Asks a machine to prove its key, whether it has said that it can or not. */
  challenge(connection: Connection, now: number): void {
    const nonce = this.#host.nonce();
    connection.trust = { ...connection.trust, askedAt: now, nonce };
    connection.isBeingJudged = false;
    connection.save();
    connection.socket.send(encodeDownstream({ type: "attestation_challenge", nonce, issued_at: now }));
  }

  /** @returns whether this answers the open challenge; anything else counts for nothing. */
  answered(connection: Connection, response: AttestationResponse, now: number): boolean {
    const { trust, identity } = connection;
    const registration = connection.registration ?? connection.admitting?.registration ?? null;
    if (registration === null || response.nonce !== trust.nonce || connection.isBeingJudged) return false;
    connection.isBeingJudged = true;
    const { sessionId, publicKey } = registration;
    if (isStatusOf(response.status, { machine_id: identity.machineId, session_id: sessionId })) {
      const { nonce, signature, status, certificate_chain } = response;
      const proof = { nonce, signature, status, certificate_chain, issuedAt: trust.askedAt, publicKey };
      this.#host.verify(connection, proof);
    } else {
      const problem = "the status it signed is not about this machine and this run of its provider";
      this.judged(connection, response.nonce, { level: "none", problem }, now);
    }
    return true;
  }

  judged(connection: Connection, nonce: string, { level, problem }: ProofVerdict, now: number): void {
    // Only the newest challenge counts.
    if (connection.closed || connection.trust.nonce !== nonce) return;
    const { askedAt } = connection.trust;
    connection.isBeingJudged = false;
    this.#awaited.delete(connection);
    connection.trust = { level, provenAt: askedAt, problem, askedAt, nonce: null };
    this.weigh(connection);
    connection.save();
    this.#host.onJudged(now);
  }

  /** Until when a machine that was asked a moment ago may be about to prove what is demanded, ms since the epoch. */
  expectingUntil(): number {
    let latest = 0;
    for (const [{ closed }, until] of this.#awaited) if (!closed) latest = Math.max(latest, until);
    return latest;
  }

  /** @returns whether any machine was waited for long enough. */
  expire(now: number): boolean {
    const before = this.#awaited.size;
    for (const [connection, until] of this.#awaited) if (now >= until) this.#awaited.delete(connection);
    return this.#awaited.size < before;
  }

  /** A fleet of an older version tells no level at all, as may be during a deploy. */
  get #isDemanding(): boolean {
    return rank(this.#least) > 0;
  }

  /** Requests wait a moment for a machine that was asked and could serve them then. */
  #await(connection: Connection, now: number): void {
    const { trust, trustedUntil } = connection;
    const until = trust.askedAt + PROOF_WAIT_MS;
    if (trust.nonce === null || now < trustedUntil || now >= until) return;
    this.expire(now);
    this.#awaited.set(connection, until);
  }
}

/** The level that counts now: what was proven is worth nothing once it is old. */
export function trustNow({ level, provenAt }: Trust, now: number): TrustLevel {
  return now < provenAt + PROOF_LASTS_MS ? level : "none";
}

/** The lowest level of several sockets: what holds wherever the machine is. */
export function lowest(levels: readonly TrustLevel[]): TrustLevel {
  return TRUST_LEVELS.find((level) => levels.includes(level)) ?? "none";
}

function rank(level: TrustLevel): number {
  return TRUST_LEVELS.indexOf(level);
}

const statusSchema = z.object({ machine_id: z.string(), session_id: z.string() });

/** A signature over another session's status, or another machine's, would prove nothing about this socket. */
function isStatusOf(text: string, socket: z.infer<typeof statusSchema>): boolean {
  let status: unknown;
  try {
    status = JSON.parse(text);
  } catch {
    return false;
  }
  const { data } = statusSchema.safeParse(status);
  return data?.machine_id === socket.machine_id && data.session_id === socket.session_id;
}
