import { statfs } from "node:fs/promises";

import type { Log, OfferedModel } from "../agent/ports.ts";
import { deferred } from "../engines/deferred.ts";
import { readSource, type ModelForm } from "../models.ts";
import { reasonOf } from "../reason.ts";
import { onLogClosed, onStopSignal } from "../stop-signals.ts";
import { SYSTEM_CLOCK } from "../system-clock.ts";
import type { TerminalLine } from "../terminal-line.ts";
import type { UserError } from "../user-error.ts";
import { fetchModels, ROUND_PAUSE_MS } from "./fetch-models.ts";
import { localSource } from "./plan.ts";
import { describeProgress, percentOf, type DownloadProgress } from "./progress.ts";
import type { RemoteModel } from "./source.ts";

/**
 * The program's downloads. A machine that has a model serves it meanwhile and gets each further one when it is complete; a
 * machine without any waits for the first.
 */

export interface DownloadSettings {
  readonly form: ModelForm;
  readonly directory: string;
  readonly hubToken: string | null;
  readonly log: Log;
  /** Shows progress until the machine serves; null without a terminal. */
  readonly line: TerminalLine | null;
  /** Whether the machine already has a model. */
  readonly isServing: boolean;
}

export class Downloads {
  readonly #settings: DownloadSettings;
  readonly #stop = new AbortController();
  readonly #first = deferred<void>();
  readonly #ended: Promise<void>;
  /** The state of each missing model, as a sentence for an order that asks for it. */
  readonly #states = new Map<string, string>();
  /** The last error of each model, so that it is logged once. */
  readonly #troubles = new Map<string, string>();
  /** Complete, and not handed over yet. */
  readonly #arrived: OfferedModel[] = [];
  #take: ((model: OfferedModel) => void) | null = null;
  #isServing: boolean;
  #isWaitedFor = false;
  #progress: DownloadProgress | null = null;

  constructor(coming: readonly RemoteModel[], settings: DownloadSettings) {
    this.#settings = settings;
    this.#isServing = settings.isServing;
    for (const { id } of coming) this.#states.set(id, "it is still to be downloaded");
    this.#ended = this.#run(coming);
    // `first` rethrows it; without this a failure nobody waits for would crash the program.
    this.#ended.catch(() => {});
  }

  /**
   * Waits for the first model, for a machine that has none.
   * @returns null if a signal came first.
   * @throws UserError
   */
  async first(): Promise<OfferedModel | null> {
    const { line, log } = this.#settings;
    this.#isWaitedFor = true;
    const stop = (): void => this.#stop.abort();
    const stopListening = [onStopSignal(stop), onLogClosed(stop)];
    try {
      await Promise.race([this.#first.promise, this.#ended]);
      if (!this.#stop.signal.aborted) return this.#arrived.shift() ?? null;
      await this.#ended;
      log.info("stopped");
      return null;
    } finally {
      this.#isWaitedFor = false;
      line?.erase();
      for (const end of stopListening) end();
    }
  }

  /** Hands over each complete model, now and later. */
  deliverTo(take: (model: OfferedModel) => void): void {
    this.#take = take;
    for (const model of this.#arrived.splice(0)) take(model);
  }

  /** The state of a missing model, for the coordinator; null if it is not one of the downloads. */
  stateOf(id: string): string | null {
    return this.#states.get(id) ?? null;
  }

  /** The state of all missing models, for the owner; null if there are none. */
  describeMissing(): string | null {
    const lines = [...this.#states].map(([id, state]) => `${id}: ${state}`);
    return lines.length === 0 ? null : lines.join("; ");
  }

  /** For the status line; empty while nothing is being downloaded. */
  progressText(): string {
    if (this.#progress === null) return "";
    const percent = percentOf(this.#progress);
    return percent === null ? "downloading" : `downloading ${percent} %`;
  }

  /** Aborts all downloads; partial files stay. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#ended;
  }

  async #run(coming: readonly RemoteModel[]): Promise<void> {
    const { directory, hubToken, line, log } = this.#settings;
    const { signal } = this.#stop;
    const ports = {
      clock: SYSTEM_CLOCK,
      random: Math.random,
      fetch,
      freeBytes,
      log,
      showProgress: line === null ? null : (progress: DownloadProgress | null) => this.#show(progress),
      hubToken,
      signal,
    };
    try {
      await fetchModels(coming, directory, ports, {
        isServing: () => this.#isServing,
        onWhole: (model) => this.#onWhole(model),
        onBegin: ({ id }) => this.#states.set(id, "it is being downloaded"),
        onTrouble: (model, error, isFinal) => this.#onTrouble(model, error, isFinal),
      });
    } catch (cause) {
      if (signal.aborted) return;
      if (!this.#isServing) throw cause;
      log.error("downloads have ended: start the program again for the models that are missing", {
        reason: reasonOf(cause),
      });
    }
  }

  #onWhole(model: RemoteModel): void {
    const offered = readSource(localSource(model), this.#settings.form);
    this.#states.delete(model.id);
    this.#isServing = true;
    if (this.#take === null) this.#arrived.push(offered);
    else this.#take(offered);
    this.#first.resolve();
  }

  #onTrouble({ id }: RemoteModel, { message }: UserError, isFinal: boolean): void {
    const { log } = this.#settings;
    const end = isFinal ? "could not be downloaded" : "could not be downloaded so far";
    this.#states.set(id, `it ${end}; the provider's log says why`);
    if (this.#troubles.get(id) === message) return;
    this.#troubles.set(id, message);
    if (isFinal) {
      log.error("cannot download a model: going on without it until the program is started again", {
        model: id,
        reason: message,
      });
    } else {
      log.warn("cannot download a model now: going on without it", {
        model: id,
        reason: message,
        retryMs: ROUND_PAUSE_MS,
      });
    }
  }

  #show(progress: DownloadProgress | null): void {
    this.#progress = progress;
    if (this.#isWaitedFor) this.#settings.line?.show(progress === null ? "" : describeProgress(progress));
  }
}

async function freeBytes(directory: string): Promise<number> {
  const { bavail, bsize } = await statfs(directory);
  return bavail * bsize;
}
