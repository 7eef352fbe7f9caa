import type { Heartbeat } from "../../../protocol/upstream.ts";
import type { Clock } from "./ports.ts";
import type { Session } from "./session.ts";

/**
 * Tells every pool what a request may be routed on, when it changes and otherwise at the rate the coordinator asked
 * for (H12). Changes come in bursts, so they are collected to a few heartbeats a second. Three are never held back: that
 * the machine stops or starts accepting work, that it holds another model, both of which are rare; and that it runs
 * less than a pool was told, since that pool takes the slot that has just become free for taken until it hears of it.
 */

const MIN_GAP_MS = 250;
const MIN_INTERVAL_MS = 1000;
/** How often vitals are looked at for a change worth telling. */
const VITALS_INTERVAL_MS = 15_000;
const HIGH_PRESSURE = 0.9;

interface Listener {
  readonly intervalMs: number;
  /** The routing facts it was told last. */
  told: string;
  newest: Heartbeat;
  cancelTimer: () => void;
}

export class Heartbeats {
  readonly #clock: Clock;
  readonly #compose: () => Heartbeat;
  readonly #listeners = new Map<Session, Listener>();
  #sentAt = Number.NEGATIVE_INFINITY;
  #cancelPending: (() => void) | null = null;
  #cancelVitals: () => void = () => {};
  #isStopped = false;

  constructor(clock: Clock, compose: () => Heartbeat) {
    this.#clock = clock;
    this.#compose = compose;
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
    const heartbeat = this.#compose();
    const listener = {
      intervalMs: Math.max(MIN_INTERVAL_MS, intervalMs),
      told: "",
      newest: heartbeat,
      cancelTimer: () => {},
    };
    this.#listeners.set(session, listener);
    this.#send(session, listener, heartbeat, routingFacts(heartbeat));
  }

  forget(session: Session): void {
    this.#listeners.get(session)?.cancelTimer();
    this.#listeners.delete(session);
  }

  /** Something that heartbeats report may have changed. */
  onChange(): void {
    if (this.#isStopped) return;
    const heartbeat = this.#compose();
    let isUrgent = false;
    for (const { newest } of this.#listeners.values()) isUrgent ||= mustNotWait(newest, heartbeat);
    const waitMs = this.#sentAt + MIN_GAP_MS - this.#clock.now();
    if (isUrgent || waitMs <= 0) {
      this.#tellAll();
      return;
    }
    this.#cancelPending ??= this.#clock.after(waitMs, () => this.#tellAll());
  }

  #tellAll(): void {
    this.#cancelPending?.();
    this.#cancelPending = null;
    const heartbeat = this.#compose();
    const facts = routingFacts(heartbeat);
    for (const [session, listener] of this.#listeners) {
      if (listener.told !== facts) this.#send(session, listener, heartbeat, facts);
    }
  }

  #send(session: Session, listener: Listener, heartbeat: Heartbeat, facts: string): void {
    listener.told = facts;
    listener.newest = heartbeat;
    this.#sentAt = this.#clock.now();
    session.send(heartbeat);
    listener.cancelTimer();
    listener.cancelTimer = this.#clock.after(listener.intervalMs, () => {
      const next = this.#compose();
      this.#send(session, listener, next, routingFacts(next));
    });
  }
}

function mustNotWait(told: Heartbeat, now: Heartbeat): boolean {
  return (
    now.accepting !== told.accepting ||
    now.running < told.running ||
    now.loaded_models.join(" ") !== told.loaded_models.join(" ")
  );
}

/** The part of a heartbeat that decides where requests go. Free memory is not in it: it changes all the time. */
function routingFacts(heartbeat: Heartbeat): string {
  const { loaded_models, running, max_concurrency, memory_pressure, thermal_state, accepting, assignment } =
    heartbeat;
  const isPressed = memory_pressure >= HIGH_PRESSURE;
  return JSON.stringify([
    loaded_models,
    running,
    max_concurrency,
    isPressed,
    thermal_state,
    accepting,
    assignment,
  ]);
}
