import { CLOSE, reconnectRule } from "../../../protocol/close-codes.ts";
import type { Random, SocketEnd } from "./ports.ts";

/**
 * What to do after a socket has ended. The rules keep two promises: a coordinator that has said no is not hammered,
 * and one that has only restarted is back with its whole fleet within seconds. Every wait is drawn at random, so that
 * a thousand Macs cut by one deploy do not return in one instant.
 */

const BACKOFF_BASE_MS = 500;
const BACKOFF_MAX_MS = 60_000;
/** The first redial after a restart or a lost connection waits 0 to this long (H19). */
const RESTART_SPREAD_MS = 2000;
const BAD_MESSAGE_WAIT_MS = 30_000;
const SUPERSEDED_MIN_MS = 5000;
const SUPERSEDED_MAX_MS = 30_000;
const BAD_TOKEN_WAIT_MS = 60_000;
/** A model that an operator is just adding to the catalog is found soon; one that is in none costs a dial in 5 min. */
const NOT_FOUND_MIN_MS = 15_000;
const NOT_FOUND_MAX_MS = 5 * 60_000;
/** A `Retry-After` beyond this is taken for a mistake. */
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

/** `failures` counts the sockets to this pool that ended in a row before this one, none of them having held. */
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
      // What the coordinator asks for is the least; the backoff spreads those who were told the same.
      const asked = Math.min(end.retryAfterMs ?? 0, RETRY_AFTER_MAX_MS);
      return { next: "dial", afterMs: asked + backoffMs(failures, random) };
    }
  }
}

/**
 * Why dialing again is of no use; null if it may be. Only the coordinator knows, and it names a code: a firewall on the
 * way that says 403 to a whole fleet will be mended, and nobody wants to start each Mac again then.
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
