import { basename } from "node:path";

import type { DownloadPorts } from "./ports.ts";

/** Reports the progress of a download: redrawn twice a second on a terminal, logged every half minute otherwise. */

const REDRAW_MS = 500;
const LOG_MS = 30_000;

/** Progress of one file. */
export interface DownloadProgress {
  readonly file: string;
  readonly bytes: number;
  /** Null if the size is unknown. */
  readonly total: number | null;
  readonly perSecond: number;
}

type ProgressPorts = Pick<DownloadPorts, "clock" | "log" | "showProgress">;

export class Progress {
  readonly #ports: ProgressPorts;
  readonly #model: string;
  readonly #file: string;
  #saidAt: number;
  /** Where the rate is counted from. */
  #since: { readonly at: number; readonly bytes: number } | null = null;

  constructor(ports: ProgressPorts, model: string, path: string) {
    this.#ports = ports;
    this.#model = model;
    this.#file = basename(path);
    this.#saidAt = ports.clock.now();
  }

  /** @param total null if the size is unknown. */
  at(bytes: number, total: number | null): void {
    const { clock, log, showProgress } = this.#ports;
    const now = clock.now();
    // The download was restarted: count the rate from here.
    if (this.#since === null || bytes < this.#since.bytes) this.#since = { at: now, bytes };
    if (now - this.#saidAt < (showProgress === null ? LOG_MS : REDRAW_MS)) return;
    this.#saidAt = now;
    const perSecond = ((bytes - this.#since.bytes) * 1000) / Math.max(1, now - this.#since.at);
    const progress = { file: this.#file, bytes, total, perSecond };
    if (showProgress !== null) showProgress(progress);
    else {
      const rate = `${sizeText(perSecond)}/s`;
      const percent = percentOf(progress);
      log.info("downloading", { model: this.#model, file: this.#file, done: sizeText(bytes), percent, rate });
    }
  }
}

/** Null if the size is unknown. */
export function percentOf({ bytes, total }: DownloadProgress): number | null {
  return total === null ? null : Math.floor((100 * bytes) / total);
}

export function describeProgress(progress: DownloadProgress): string {
  const { file, bytes, total, perSecond } = progress;
  const rate = `${sizeText(perSecond)}/s`;
  if (total === null) return `downloading ${file} ${sizeText(bytes)} | ${rate}`;
  const parts = [`downloading ${file} ${percentOf(progress)} % of ${sizeText(total)}`, rate];
  if (perSecond > 0) parts.push(`${timeText((total - bytes) / perSecond)} left`);
  return parts.join(" | ");
}

/** In decimal units as the Finder uses them: 1 GB is 10^9 bytes. */
export function sizeText(bytes: number): string {
  if (bytes >= 1e9) return `${(bytes / 1e9).toFixed(1)} GB`;
  return bytes >= 1e6 ? `${(bytes / 1e6).toFixed(1)} MB` : `${Math.ceil(bytes / 1e3)} kB`;
}

function timeText(seconds: number): string {
  if (seconds < 90) return `${Math.ceil(seconds)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}
