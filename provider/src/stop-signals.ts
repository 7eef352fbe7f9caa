/** The ways in which this program is asked to stop. */

/** SIGHUP: the terminal was closed. */
const SIGNALS = ["SIGTERM", "SIGINT", "SIGHUP"] as const;

/**
 * Calls `listener` on each signal, and when a launcher that keeps an IPC channel to this program is gone, because nobody
 * else would stop it then.
 * @returns how to stop listening.
 */
export function onStopSignal(listener: () => void): () => void {
  for (const signal of SIGNALS) process.on(signal, listener);
  process.once("disconnect", listener);
  return () => {
    for (const signal of SIGNALS) process.off(signal, listener);
    process.off("disconnect", listener);
  };
}

/**
 * Calls `listener` when the program that reads the log from a pipe has ended, because there may be nobody left to stop this
 * one. Other errors of the log are ignored: on a full disk the machine serves on without it.
 * @returns how to stop listening.
 */
export function onLogClosed(listener: () => void): () => void {
  const onError = ({ code }: NodeJS.ErrnoException): void => {
    if (code === "EPIPE") listener();
  };
  process.stdout.on("error", onError);
  return () => {
    process.stdout.off("error", onError);
  };
}
