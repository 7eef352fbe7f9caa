import { waitUntil } from "./wait-until.ts";

/**
 * Looks whether a server that holds a model is still there. One that takes a connection and does not answer may be at work on
 * a long prompt, so it is not given up while it has something to do for this machine, and otherwise only when that happens
 * again and again.
 */

export interface WatchTimes {
  /** From one look to the next. */
  readonly watchMs: number;
  /** A server that has not answered by then is silent. */
  readonly answerLimitMs: number;
}

export const WATCH_TIMES: WatchTimes = { watchMs: 15_000, answerLimitMs: 5000 };

/** Of looks in a row. With the times above an idle server that hangs is given up after 65 to 80 seconds. */
const SILENT_LOOKS = 4;
/** Of those, while it had nothing to do: one that hung with a request is given up sooner once that has been given up. */
const SILENT_IDLE_LOOKS = 2;

export type ServerStatus = number | "silent" | "gone";

/**
 * Resolves with what is wrong when the server is not there any more.
 * @param look the status of an answer, `silent` if none comes in time, `gone` if nobody takes the connection
 * @throws the signal's reason
 */
export async function untilLost(
  look: () => Promise<ServerStatus>,
  isIdle: () => boolean,
  watchMs: number,
  signal: AbortSignal,
): Promise<"silent" | "gone"> {
  let silentLooks = 0;
  let silentIdleLooks = 0;
  let lost: "silent" | "gone" | null = null;
  await waitUntil(
    async () => {
      const wasIdle = isIdle();
      const status = await look();
      if (status === "gone") lost = status;
      else if (status === "silent") {
        silentLooks += 1;
        if (wasIdle && isIdle()) silentIdleLooks += 1;
        if (silentLooks >= SILENT_LOOKS && silentIdleLooks >= SILENT_IDLE_LOOKS) lost = "silent";
      } else {
        silentLooks = 0;
        silentIdleLooks = 0;
      }
      return lost !== null;
    },
    watchMs,
    signal,
  );
  return lost ?? "gone";
}
