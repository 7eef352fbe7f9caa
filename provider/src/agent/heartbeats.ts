import type { Heartbeat } from "../../../protocol/upstream.ts";
import { restOfGap } from "./gap.ts";
import type { Clock } from "./ports.ts";
import type { Session } from "./session.ts";

/**
 * Sends every pool the state that routing depends on: when it changes, and otherwise at the interval that the
 * coordinator asked for (H12). A pool counts the requests that it sent here itself and believes the larger of that and
 * the reported number, so a change in running requests is sent only to pools whose belief would change. Changes come in
 * bursts and are combined into a few heartbeats a second. Three kinds are sent at once: accepting work or not, another
 * model or assignment, and fewer running requests than a pool believes, since that pool leaves a free slot unused.
 */

const MIN_GAP_MS = 250;
const MIN_INTERVAL_MS = 1000;
/** How often vitals are checked for a change worth sending. */
const VITALS_INTERVAL_MS = 15_000;
const HIGH_PRESSURE = 0.9;

export interface HeartbeatsHost {
  compose(): Heartbeat;
  /** The requests here that came on this socket, which its pool counts itself. */
  requestsOf(session: Session): number;
}

interface Listener {
  readonly intervalMs: number;
  /** The last heartbeat sent to it; null before the first. */
  told: Heartbeat | null;
  cancelTimer: () => void;
}

export class Heartbeats {
  readonly #clock: Clock;
  readonly #host: HeartbeatsHost;
  readonly #listeners = new Map<Session, Listener>();
  #sentAt = Number.NEGATIVE_INFINITY;
  #cancelPending: (() => void) | null = null;
  #cancelVitals: () => void = () => {};
  #isStopped = false;

  constructor(clock: Clock, host: HeartbeatsHost) {
    this.#clock = clock;
    this.#host = host;
  }

  start(): void {
    this.#cancelVitals = this.#clock.after(VITALS_INTERVAL_MS, () => {
      this.onChange();
      this.start();
    });
  }

  stop(): void {
    this.#isStopped = true;
    this.#cancelVitals();
    this.#cancelPending?.();
    this.#cancelPending = null;
    for (const session of this.#listeners.keys()) this.forget(session);
  }

  /** A socket has registered: it gets a heartbeat at once. */
  greet(session: Session, intervalMs: number): void {
    this.forget(session);
    const listener = {
      intervalMs: Math.max(MIN_INTERVAL_MS, intervalMs),
      told: null,
      cancelTimer: () => {},
    };
    this.#listeners.set(session, listener);
    this.#send(session, listener, this.#host.compose());
  }

  /** Sends a heartbeat at once to a socket whose pool seems to be wrong about this machine. */
  remind(session: Session): void {
    const listener = this.#listeners.get(session);
    if (listener !== undefined) this.#send(session, listener, this.#host.compose());
  }

  forget(session: Session): void {
    this.#listeners.get(session)?.cancelTimer();
    this.#listeners.delete(session);
  }

  /** Something that heartbeats report may have changed. */
  onChange(): void {
    if (this.#isStopped) return;
    const heartbeat = this.#host.compose();
    let isDue = false;
    let isUrgent = false;
    for (const [session, { told }] of this.#listeners) {
      isDue ||= this.#isNews(session, told, heartbeat);
      isUrgent ||= this.#mustNotWait(session, told, heartbeat);
    }
    if (!isDue) return;
    const waitMs = restOfGap(MIN_GAP_MS, this.#sentAt, this.#clock.now());
    if (isUrgent || waitMs === 0) {
      this.#tellAll();
      return;
    }
    this.#cancelPending ??= this.#clock.after(waitMs, () => this.#tellAll());
  }

  #tellAll(): void {
    this.#cancelPending?.();
    this.#cancelPending = null;
    const heartbeat = this.#host.compose();
    for (const [session, listener] of this.#listeners) {
      if (this.#isNews(session, listener.told, heartbeat)) this.#send(session, listener, heartbeat);
    }
  }

  #send(session: Session, listener: Listener, heartbeat: Heartbeat): void {
    listener.told = heartbeat;
    this.#sentAt = this.#clock.now();
    session.send(heartbeat);
    listener.cancelTimer();
    listener.cancelTimer = this.#clock.after(listener.intervalMs, () => {
      this.#send(session, listener, this.#host.compose());
    });
  }

  #isNews(session: Session, told: Heartbeat | null, now: Heartbeat): boolean {
    if (told === null || this.#believed(session, told) !== this.#believed(session, now)) return true;
    return routingFacts(told) !== routingFacts(now);
  }

  #mustNotWait(session: Session, told: Heartbeat | null, now: Heartbeat): boolean {
    return (
      told === null ||
      now.accepting !== told.accepting ||
      now.reserved !== told.reserved ||
      this.#believed(session, now) < this.#believed(session, told) ||
      now.loaded_models.join(" ") !== told.loaded_models.join(" ") ||
      now.assignment?.epoch !== told.assignment?.epoch
    );
  }

  /** The number of taken slots that a pool believes in after this heartbeat. */
  #believed(session: Session, { running }: Heartbeat): number {
    return Math.max(running, this.#host.requestsOf(session));
  }
}

/** The fields of a heartbeat that routing depends on, except `running`. Free memory is left out: it always changes. */
function routingFacts(heartbeat: Heartbeat): string {
  const { loaded_models, context_length, max_concurrency, memory_pressure } = heartbeat;
  const { thermal_state, accepting, reserved = false, assignment } = heartbeat;
  const holds = [loaded_models, context_length, assignment];
  const isPressed = memory_pressure >= HIGH_PRESSURE;
  return JSON.stringify([holds, max_concurrency, isPressed, thermal_state, accepting, reserved]);
}
