import { statfs } from "node:fs/promises";

import type { Log } from "../agent/ports.ts";
import type { ModelSources } from "../models.ts";
import { SYSTEM_CLOCK } from "../system-clock.ts";
import type { TerminalLine } from "../terminal-line.ts";
import { fetchModels } from "./fetch-models.ts";

/** The program while it downloads: no agent is there yet that a signal could stop. */

interface RunOptions {
  readonly sources: ModelSources;
  readonly downloadsDirectory: string;
  readonly hubToken: string | null;
}

/**
 * @param line shows the progress; null if no terminal is there
 * @returns files for all models that are to be had; null if a signal came first.
 * @throws UserError
 */
export async function runDownloads(
  { sources, downloadsDirectory, hubToken }: RunOptions,
  log: Log,
  line: TerminalLine | null,
): Promise<ModelSources | null> {
  const controller = new AbortController();
  const { signal } = controller;
  const stopListening = onStop(() => controller.abort());
  try {
    const files = await fetchModels(sources, downloadsDirectory, {
      clock: SYSTEM_CLOCK,
      random: Math.random,
      fetch,
      freeBytes,
      log,
      showProgress: line === null ? null : (text) => line.show(text),
      hubToken,
      signal,
    });
    signal.throwIfAborted();
    return files;
  } catch (cause) {
    if (!signal.aborted) throw cause;
    log.info("stopped");
    return null;
  } finally {
    line?.erase();
    stopListening();
  }
}

async function freeBytes(directory: string): Promise<number> {
  const { bavail, bsize } = await statfs(directory);
  return bavail * bsize;
}

/** Whatever says that nobody wants the program any more: a signal, a launcher that is gone, a log that nobody reads. */
function onStop(stop: () => void): () => void {
  const signals = ["SIGTERM", "SIGINT", "SIGHUP"] as const;
  const onError = ({ code }: NodeJS.ErrnoException): void => {
    if (code === "EPIPE") stop();
  };
  for (const signal of signals) process.on(signal, stop);
  process.on("disconnect", stop);
  process.stdout.on("error", onError);
  return () => {
    for (const signal of signals) process.off(signal, stop);
    process.off("disconnect", stop);
    process.stdout.off("error", onError);
  };
}
