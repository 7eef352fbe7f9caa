import { settledOrAborted } from "../abortable.ts";

/** Asks again and again until it is so. @throws the signal's reason */
export async function waitUntil(
  isSo: () => Promise<boolean>,
  intervalMs: number,
  signal: AbortSignal,
): Promise<void> {
  for (;;) {
    signal.throwIfAborted();
    if (await isSo()) return;
    await settledOrAborted(new Promise((resolve) => setTimeout(resolve, intervalMs)), signal);
  }
}
