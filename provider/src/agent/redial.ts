import { CLOSE, reconnectRule } from "../../../protocol/close-codes.ts";
import type { Random, SocketEnd } from "./ports.ts";

/**
 * What to do after a socket has ended. Two guarantees: a coordinator that has refused is not hammered, and one that has
 * only restarted has its whole fleet back within seconds. Every delay has jitter, so that a thousand Macs cut off by one
 * deploy do not return in the same instant.
 */

const BACKOFF_BASE_MS = 500;
const BACKOFF_MAX_MS = 60_000;
/** The first redial after a restart or a lost connection waits 0 to this long (H19). */
const RESTART_SPREAD_MS = 2000;
const BAD_MESSAGE_WAIT_MS = 30_000;
const SUPERSEDED_MIN_MS = 5000;
const SUPERSEDED_MAX_MS = 30_000;
const BAD_TOKEN_WAIT_MS = 60_000;
/** Short at first, for a model that is just being added to the catalog; then one dial in 5 min. */
const NOT_FOUND_MIN_MS = 15_000;
const NOT_FOUND_MAX_MS = 5 * 60_000;
/** A longer `Retry-After` is treated as a mistake. */
const RETRY_AFTER_MAX_MS = 60 * 60_000;

export type Redial =
  | { readonly next: "dial"; readonly afterMs: number }
  /** 4001: only if no other socket of this process has or dials the pool (H11). */
  | { readonly next: "dial_unless_replaced"; readonly afterMs: number }
  /** 4002: only if no other socket is registered (H7), or if a newer list names the pool (H10). */
  | { readonly next: "dial_if_alone"; readonly afterMs: number }
  /** 404: this pool does not exist now; another one may. */
  | { readonly next: "dial_another_pool"; readonly afterMs: number }
  /** The whole program stops and tells its owner `sentence`. */
  | { readonly next: "stop"; readonly sentence: string };

/** Codes after which the first redial comes within two seconds. */
const RESTART_CODES: readonly number[] = [CLOSE.goingAway.code, CLOSE.lost.code, CLOSE.restart.code];

/** @param failures consecutive sockets to this pool that ended early, not counting this one. */
export function redialAfter(end: SocketEnd, failures: number, random: Random): Redial {
  return end.kind === "refused" ? afterRefusal(end, failures, random) : afterClose(end, failures, random);
}

function afterClose(end: SocketEnd & { kind: "closed" }, failures: number, random: Random): Redial {
  switch (reconnectRule(end.code)) {
    case "soon":
      if (failures === 0 && RESTART_CODES.includes(end.code)) {
        return { next: "dial", afterMs: between(0, RESTART_SPREAD_MS, random) };
      }
      return { next: "dial", afterMs: backoffMs(failures, random) };
    case "later":
      return { next: "dial", afterMs: BAD_MESSAGE_WAIT_MS };
    case "unless_replaced":
      return {
        next: "dial_unless_replaced",
        afterMs: between(SUPERSEDED_MIN_MS, SUPERSEDED_MAX_MS, random),
      };
    case "if_alone":
      return { next: "dial_if_alone", afterMs: backoffMs(failures, random) };
    case "stop":
      return { next: "stop", sentence: stopSentence(end.code) };
  }
}

function afterRefusal(end: SocketEnd & { kind: "refused" }, failures: number, random: Random): Redial {
  const sentence = refusalForGood(end);
  if (sentence !== null) return { next: "stop", sentence };
  switch (end.status) {
    case 401:
      return { next: "dial", afterMs: BAD_TOKEN_WAIT_MS };
    case 404:
      return { next: "dial_another_pool", afterMs: notFoundWaitMs(failures) };
    default: {
      // `Retry-After` is the minimum; the backoff spreads machines that were given the same one.
      const asked = Math.min(end.retryAfterMs ?? 0, RETRY_AFTER_MAX_MS);
      return { next: "dial", afterMs: asked + backoffMs(failures, random) };
    }
  }
}

/**
 * Why dialing again is pointless; null if it is not. Only a refusal with one of the coordinator's codes counts: if a
 * firewall answers 403 to the whole fleet, nobody wants to restart every Mac once it is fixed.
 */
function refusalForGood({ status, code, message }: SocketEnd & { kind: "refused" }): string | null {
  if (code === null) return null;
  const said = message === "" ? "" : ` It said: ${message}`;
  switch (status) {
    case 400:
      return `The coordinator does not speak this provider's protocol (400). Update the provider.${said}`;
    case 403:
      return `The coordinator does not allow this machine (403): its id belongs to another owner, it is quarantined, or the token was revoked. Ask the operator.${said}`;
    case 426:
      return `The coordinator saw no WebSocket upgrade (426): a proxy on the way removes it, or the URL is wrong.${said}`;
    default:
      return null;
  }
}

/** Full jitter between the base and a ceiling that doubles with each failure: 0.5..1 s, 0.5..2 s, up to 0.5..60 s. */
export function backoffMs(failures: number, random: Random): number {
  const ceiling = Math.min(BACKOFF_MAX_MS, BACKOFF_BASE_MS * 2 ** Math.min(failures + 1, 20));
  return between(BACKOFF_BASE_MS, ceiling, random);
}

function notFoundWaitMs(failures: number): number {
  return Math.min(NOT_FOUND_MAX_MS, NOT_FOUND_MIN_MS * 2 ** Math.min(failures, 20));
}

function between(low: number, high: number, random: Random): number {
  return Math.round(low + (high - low) * random());
}

function stopSentence(code: number): string {
  switch (code) {
    case CLOSE.notAllowed.code:
      return "The coordinator closed the connection for good: the provider token was revoked or this machine is quarantined. Ask the operator.";
    case CLOSE.tooOld.code:
      return "This provider version is too old for the coordinator. Update it, then start it again.";
    case CLOSE.foreignKey.code:
      return "This machine id is bound to another key at the coordinator. Restore the state directory it was first used with, or start with a new one (--state) and a new id.";
    default:
      return `The coordinator closed the connection for good (code ${code}).`;
  }
}
