import type { Registered } from "../../protocol/downstream.ts";
import type { ModelId } from "../../protocol/ids.ts";
import { LIVENESS_TIMEOUT_MS } from "../../protocol/limits.ts";
import type { Offer, Register } from "../../protocol/upstream.ts";
import { ASK_AGAIN_MAX_MS, ASK_AGAIN_MS } from "../limits.ts";
import type { Admission, AdmissionQuestion } from "./admission.ts";
import type { Assignments } from "./assignments.ts";
import { trustNow } from "./attestation.ts";
import type { Admitting, Connection, Registration } from "./connection.ts";
import type { Members } from "./members.ts";
import { registrationOf } from "./registration.ts";

/**
 * Admits machines: from `register` until it takes effect, the fleet is asked, which knows the owner and the key of each
 * machine. While the fleet does not answer, only a machine that this pool has on record as assigned is admitted.
 *
 * A public key is no secret, and a token may be stolen. So whoever would replace a machine that has proven its key has to prove
 * it first, and is not admitted until then (H11). Whoever knows the session id is the same process.
 */

export interface EntranceHost {
  askFleet(connection: Connection, question: AdmissionQuestion): void;
  /** Asks the machine to prove its key; `proven` is called when it has. */
  challenge(connection: Connection, now: number): void;
  /** From 0 up to, but not including, 1. */
  random(): number;
  /** By the flags that this pool has, which may be newer than the fleet's answer. */
  isTooOld(version: string | null): boolean;
  /** The register counts from now on: tells the machine so, and does what follows from its coming. */
  onEntered(
    connection: Connection,
    pools: readonly ModelId[],
    assignment: Registered["assignment"],
    now: number,
  ): void;
  /** The fleet knows what the machine offers now. */
  onOffered(connection: Connection, pools: readonly ModelId[], assignment: Registered["assignment"]): void;
}

export class Entrance {
  readonly #model: ModelId;
  readonly #members: Members;
  readonly #assignments: Assignments;
  readonly #host: EntranceHost;
  /** Those that have to prove their key first: none but for a moment. */
  readonly #claims = new Set<Connection>();

  constructor(model: ModelId, members: Members, assignments: Assignments, host: EntranceHost) {
    this.#model = model;
    this.#members = members;
    this.#assignments = assignments;
    this.#host = host;
  }

  register(connection: Connection, register: Register, now: number): void {
    if (connection.registration !== null || connection.admitting !== null) {
      this.#members.close(connection, "badMessage", now, "register came twice");
    } else if (register.machine_id !== connection.identity.machineId) {
      this.#members.close(connection, "badMessage", now, "register names another machine than the dial");
    } else if (!this.#demandsProof(connection, register, now)) this.#ask(connection, register);
  }

  /** A machine that is in says what it offers now; nothing of its socket or its order changes by that. */
  offer(connection: Connection, offer: Offer, now: number): void {
    const register: Register = { ...offer, type: "register" };
    if (!isSaidBySame(connection, register)) {
      this.#members.close(
        connection,
        "badMessage",
        now,
        "an offer must be of the machine and the process that registered",
      );
    } else if (connection.admitting === null) this.#ask(connection, register, true);
    else connection.nextOffer = register;
  }

  /** The machine has answered a challenge on this socket, right or wrong. */
  judged(connection: Connection, now: number): void {
    if (trustNow(connection.trust, now) !== "none") this.#settle(connection);
  }

  /** A socket is gone: whoever wanted its place may have it. */
  dropped(gone: Connection, now: number): void {
    this.#claims.delete(gone);
    for (const claim of this.#claims) {
      const { admitting } = claim;
      if (admitting !== null && !this.#isClaim(claim, admitting.register, now)) this.#settle(claim);
    }
  }

  /** The fleet's answer. */
  admitted(connection: Connection, admission: Admission, now: number): void {
    const { admitting } = connection;
    if (connection.closed || admitting === null || admitting.mustProve) return;
    if (admitting.isOffer) {
      this.#offered(connection, admitting.registration, admission, now);
      return;
    }
    if (!admission.admitted) {
      // Let in by its record and retired since: what runs there may end.
      if (admission.close === "tooOld" && connection.retiresAt !== null) connection.admitting = null;
      else this.#members.close(connection, admission.close, now);
      return;
    }
    // Somebody who has proven it may have come in while the fleet was asked.
    if (this.#demandsProof(connection, admitting.register, now)) return;
    if (!this.#assignments.stamp(connection.identity.machineId, admission.stamp, now)) {
      // An order has overtaken this answer: the machine dials again and gets a newer one.
      this.#members.close(connection, "restart", now);
      return;
    }
    this.#enter(connection, admission.pools, admission.assignment, now);
  }

  /**
   * The fleet did not answer. A machine that is assigned here by this pool's own record, with the key it had then,
   * serves all the same; anybody else waits unroutable, and the fleet is asked again (H19, D11).
   */
  fleetSilent(connection: Connection, now: number): void {
    const { admitting, record } = connection;
    if (connection.closed || admitting === null || admitting.mustProve) return;
    const isKnown = record?.mode === "assigned" && record.terms.publicKey === admitting.register.public_key;
    if (isKnown && this.#demandsProof(connection, admitting.register, now)) return;
    if (isKnown && connection.registration === null) {
      const { drainMs, loadMs } = record.terms;
      const times = { drain_ms: drainMs, load_ms: loadMs };
      this.#enter(connection, [this.#model], { model_id: this.#model, epoch: record.epoch, ...times }, now);
    }
    const { silences } = admitting;
    // After a deploy all machines come at once, and a fleet that has too much to do recovers only if they ask less and apart.
    const waitMs = Math.min(ASK_AGAIN_MAX_MS, ASK_AGAIN_MS * 2 ** silences);
    const askAgainAt = now + waitMs * (1 + this.#host.random());
    connection.admitting = { ...admitting, askAgainAt, silences: silences + 1 };
  }

  /** Asks the fleet again where it has not answered. */
  tick(now: number): void {
    for (const connection of this.#members.sockets()) {
      const { admitting } = connection;
      if (admitting?.askAgainAt != null && now >= admitting.askAgainAt) {
        this.#ask(connection, admitting.register, admitting.isOffer);
      }
    }
  }

  /** When `tick` has something to do; Infinity if never. */
  nextTickAt(): number {
    let at = Infinity;
    for (const { admitting } of this.#members.sockets()) at = Math.min(at, admitting?.askAgainAt ?? Infinity);
    return at;
  }

  /** Whether it has to prove its key before it goes any further, and if so asks it to. */
  #demandsProof(connection: Connection, register: Register, now: number): boolean {
    if (connection.registration !== null || !this.#isClaim(connection, register, now)) return false;
    this.#claims.add(connection);
    this.#wait(connection, register, { mustProve: true, isOffer: false });
    this.#host.challenge(connection, now);
    return true;
  }

  /** Whether it takes the place of another program that has proven the key that both show, and is alive. */
  #isClaim({ identity, trust }: Connection, { public_key, session_id }: Register, now: number): boolean {
    if (trustNow(trust, now) !== "none") return false;
    const seated = this.#members.seats.get(identity.machineId);
    if (seated?.registration == null || now - seated.lastSeenAt() > LIVENESS_TIMEOUT_MS) return false;
    const { publicKey, sessionId } = seated.registration;
    return sessionId !== session_id && publicKey === public_key && trustNow(seated.trust, now) !== "none";
  }

  /** It need not prove anything any more. */
  #settle(connection: Connection): void {
    const { admitting } = connection;
    if (this.#claims.delete(connection) && admitting !== null) this.#ask(connection, admitting.register);
  }

  #ask(connection: Connection, register: Register, isOffer = false): void {
    this.#wait(connection, register, { mustProve: false, isOffer });
    this.#host.askFleet(connection, { identity: connection.identity, register, pool: this.#model });
  }

  #wait(connection: Connection, register: Register, as: Pick<Admitting, "mustProve" | "isOffer">): void {
    const registration = connection.admitting?.registration ?? registrationOf(register, this.#model);
    const silences = connection.admitting?.silences ?? 0;
    connection.admitting = { registration, register, askAgainAt: null, silences, ...as };
  }

  /** What the fleet says to an offer: whatever it is, what runs on the socket goes on. */
  #offered(connection: Connection, offered: Registration, admission: Admission, now: number): void {
    const { registration, identity } = connection;
    connection.admitting = null;
    if (admission.admitted && registration !== null) {
      const { advertises, decodeTps, prefillTps } = offered;
      const contextLength = offered.contextLength ?? registration.contextLength;
      connection.registration = { ...registration, advertises, decodeTps, prefillTps, contextLength };
      connection.save();
      // If an order has overtaken the answer, the machine hears of that by itself.
      const isNow = this.#assignments.stamp(identity.machineId, admission.stamp, now);
      if (isNow) this.#host.onOffered(connection, admission.pools, admission.assignment);
    }
    this.#askNext(connection);
  }

  /** What the machine has offered since the fleet was asked. */
  #askNext(connection: Connection): void {
    const { nextOffer } = connection;
    connection.nextOffer = null;
    if (nextOffer !== null && connection.admitting === null) this.#ask(connection, nextOffer, true);
  }

  /** The machine's older sockets make way (H11). */
  #enter(
    connection: Connection,
    pools: readonly ModelId[],
    assignment: Registered["assignment"],
    now: number,
  ): void {
    const { admitting } = connection;
    if (admitting === null) return;
    // Before it replaces anything: an older socket of the same machine may still have requests to finish.
    if (connection.registration === null && this.#host.isTooOld(admitting.registration.version)) {
      this.#members.close(connection, "tooOld", now);
      return;
    }
    connection.admitting = null;
    // A machine admitted by its record before has sent heartbeats since: they are newer than its register.
    const registration = connection.registration ?? admitting.registration;
    connection.registration = registration;
    connection.save();
    const replaced = this.#members.admit(connection);
    this.#host.onEntered(connection, pools, assignment, now);
    const { machineId } = connection.identity;
    this.#assignments.reloadAfterRegister(machineId, registration.loadedModels, now);
    this.#assignments.observe(machineId, registration.held, registration.loadedModels, now);
    // Only now, so that what ran on the older socket without a byte can go to this one.
    for (const older of replaced) this.#members.close(older, "superseded", now);
    this.#askNext(connection);
  }
}

function isSaidBySame({ identity, registration }: Connection, said: Register): boolean {
  const isOfMachine = said.machine_id === identity.machineId;
  return (
    isOfMachine && said.session_id === registration?.sessionId && said.public_key === registration.publicKey
  );
}
