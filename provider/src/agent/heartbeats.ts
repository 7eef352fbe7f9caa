import type { Heartbeat } from "../../../protocol/upstream.ts";
import { restOfGap } from "./gap.ts";
import type { Clock } from "./ports.ts";
import type { Session } from "./session.ts";

/**
 * Tells every pool what a request may be routed on, when it changes and otherwise at the rate the coordinator asked
 * for (H12). A pool knows the requests it sent here itself and takes the larger of their number and the reported
 * one, so it is told of running requests only where that sum comes out wrong. Changes come in bursts and are
 * collected to a few heartbeats a second. Never held back are that the machine stops or starts accepting work, that
 * it holds another model or assignment, and that it runs less than a pool believes: that pool leaves a free slot idle.
 */

const MIN_GAP_MS = 250;
const MIN_INTERVAL_MS = 1000;
/** How often vitals are looked at for a change worth telling. */
const VITALS_INTERVAL_MS = 15_000;
const HIGH_PRESSURE = 0.9;

export interface HeartbeatsHost {
  compose(): Heartbeat;
  /** The requests here that came on this socket, which its pool counts itself. */
  requestsOf(session: Session): number;
}

interface Listener {
  readonly intervalMs: number;
  /** The last it was told; null if nothing yet. */
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

  /** A socket has registered: it gets the whole picture at once. */
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

  /** Sends the whole picture to a socket whose pool seems to be mistaken about this machine. */
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

  /** What a pool that was told this takes for the number of taken slots. */
  #believed(session: Session, { running }: Heartbeat): number {
    return Math.max(running, this.#host.requestsOf(session));
  }
}

/**
 * The part of a heartbeat that decides where requests go, but for the running ones. Free memory is not in it: it
 * changes all the time.
 */
function routingFacts(heartbeat: Heartbeat): string {
  const { loaded_models, max_concurrency, memory_pressure, thermal_state } = heartbeat;
  const { accepting, reserved = false, assignment } = heartbeat;
  const isPressed = memory_pressure >= HIGH_PRESSURE;
  return JSON.stringify([
    loaded_models,
    max_concurrency,
    isPressed,
    thermal_state,
    accepting,
    reserved,
    assignment,
  ]);
}
