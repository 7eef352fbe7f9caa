import { CLOSE } from "../../../protocol/close-codes.ts";
import { decodeDownstream, encodeUpstream } from "../../../protocol/codec.ts";
import type { Downstream, Registered } from "../../../protocol/downstream.ts";
import type { ModelId } from "../../../protocol/ids.ts";
import { LIVENESS_TIMEOUT_MS, PING, PING_INTERVAL_MS, PONG } from "../../../protocol/limits.ts";
import type { Register, Upstream } from "../../../protocol/upstream.ts";
import { offerOf } from "./announcements.ts";
import { Outbox } from "./outbox.ts";
import type { Clock, Dial, Log, Socket, SocketEnd } from "./ports.ts";

/**
 * One socket to one pool, from dialing to its end: it registers, sends pings, checks the pongs, and decodes frames into
 * messages. Its host decides what the messages mean.
 */

/** The upgrade is answered within a few seconds or not at all. */
const DIAL_TIMEOUT_MS = 20_000;

/** `registered` may have to wait for the control plane to come back (H19), but not forever. */
const REGISTERED_TIMEOUT_MS = LIVENESS_TIMEOUT_MS;

/** After a `close` the other side has this long to answer it. */
const CLOSING_TIMEOUT_MS = 2000;

/** Bad frames are logged up to this number per socket: a broken peer must not fill the disk. */
const MAX_LOGGED_BAD_FRAMES = 5;

export interface SessionHost {
  /** Called when the socket opens, so that the message is up to date. */
  composeRegister(): Register;
  onRegistered(session: Session, message: Registered): void;
  onMessage(session: Session, message: Exclude<Downstream, Registered>): void;
  onEnded(session: Session, end: SocketEnd): void;
}

export interface SessionPorts {
  readonly clock: Clock;
  readonly dial: Dial;
  readonly log: Log;
}

type SessionState = "dialing" | "registering" | "registered" | "closing" | "ended";

export class Session {
  /** The pool that the dial named; the coordinator may have put the socket elsewhere (H10). */
  readonly asked: ModelId;
  readonly outbox: Outbox;
  readonly #host: SessionHost;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #socket: Socket;
  #state: SessionState = "dialing";
  #pool: ModelId | null = null;
  #registeredAt: number | null = null;
  #isClosedByUs = false;
  #takesOffers = false;
  #badFrames = 0;
  #cancelDeadline: () => void;
  #cancelPing: () => void = () => {};

  constructor(asked: ModelId, host: SessionHost, ports: SessionPorts) {
    this.asked = asked;
    this.#host = host;
    this.#clock = ports.clock;
    this.#log = ports.log;
    this.#cancelDeadline = this.#clock.after(DIAL_TIMEOUT_MS, () => this.#lose("no answer to the dial"));
    this.#socket = ports.dial(asked, {
      onOpen: () => this.#onOpen(),
      onText: (text) => this.#onText(text),
      onEnd: (end) => this.#end(end),
    });
    this.outbox = new Outbox(this.#clock, this.#socket);
  }

  /** The pool this socket belongs to; the one that was asked for until the coordinator has said. */
  pool(): ModelId {
    return this.#pool ?? this.asked;
  }

  isRegistered(): boolean {
    return this.#state === "registered";
  }

  /** Whether `register` was sent and the socket is still open. */
  hasSentRegister(): boolean {
    return this.#state === "registering" || this.#state === "registered";
  }

  /** Whether the coordinator may still send or be sent anything on it. */
  isAlive(): boolean {
    return this.#state !== "closing" && this.#state !== "ended";
  }

  /** Whether this side asked for the end. */
  isClosedByUs(): boolean {
    return this.#isClosedByUs;
  }

  /** How long the socket has been registered; 0 if it never was. */
  registeredForMs(): number {
    return this.#registeredAt === null ? 0 : this.#clock.now() - this.#registeredAt;
  }

  /** Tells what this machine offers now, if the pool can be told so. @returns whether it was. */
  offer(): boolean {
    if (!this.isRegistered() || !this.#takesOffers) return false;
    this.send(offerOf(this.#host.composeRegister()));
    return true;
  }

  send(message: Upstream): void {
    if (this.hasSentRegister()) this.#socket.sendText(encodeUpstream(message));
  }

  /** Closes the socket from this side; `onEnded` follows as for any other end. */
  close(reason: string): void {
    if (!this.isAlive()) return;
    const wasDialing = this.#state === "dialing";
    this.#state = "closing";
    this.#isClosedByUs = true;
    this.#cancelTimers();
    if (wasDialing) {
      this.#lose(reason);
      return;
    }
    this.#socket.close(CLOSE.normal.code, reason);
    this.#cancelDeadline = this.#clock.after(CLOSING_TIMEOUT_MS, () => this.#lose("no answer to close"));
  }

  #onOpen(): void {
    if (this.#state !== "dialing") return;
    this.#state = "registering";
    this.#cancelDeadline();
    this.#cancelDeadline = this.#clock.after(REGISTERED_TIMEOUT_MS, () =>
      this.#lose("not registered in time"),
    );
    this.send(this.#host.composeRegister());
    this.#ping();
  }

  #onText(text: string): void {
    if (!this.isAlive()) return;
    if (text === PONG) {
      if (this.#state === "registered") this.#expectPong();
      return;
    }
    const decoded = decodeDownstream(text);
    if (!decoded.ok) {
      this.#badFrames += 1;
      if (this.#badFrames > MAX_LOGGED_BAD_FRAMES) return;
      const { kind } = decoded.error;
      this.#log.warn("ignored a frame from the coordinator", { pool: this.pool(), kind });
      return;
    }
    if (decoded.value.type !== "registered") {
      this.#host.onMessage(this, decoded.value);
      return;
    }
    this.#pool = decoded.value.pool;
    this.#registeredAt ??= this.#clock.now();
    this.#state = "registered";
    this.#takesOffers = decoded.value.takes_offers === true;
    this.outbox.setFlushInterval(decoded.value.flush_ms);
    this.#expectPong();
    this.#host.onRegistered(this, decoded.value);
  }

  #ping(): void {
    this.#socket.sendText(PING);
    this.#cancelPing = this.#clock.after(PING_INTERVAL_MS, () => this.#ping());
  }

  /** Restarts the timeout for the next `pong` (H20). */
  #expectPong(): void {
    this.#cancelDeadline();
    this.#cancelDeadline = this.#clock.after(LIVENESS_TIMEOUT_MS, () => this.#lose("no pong for 60 s"));
  }

  /** Drops the socket without a closing handshake, as if the network had failed. */
  #lose(reason: string): void {
    this.#socket.terminate();
    this.#end({ kind: "closed", code: CLOSE.lost.code, reason });
  }

  #end(end: SocketEnd): void {
    if (this.#state === "ended") return;
    this.#state = "ended";
    this.#cancelTimers();
    this.outbox.close();
    this.#host.onEnded(this, end);
  }

  #cancelTimers(): void {
    this.#cancelDeadline();
    this.#cancelPing();
  }
}
