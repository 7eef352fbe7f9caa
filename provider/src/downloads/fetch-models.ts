import { existsSync, mkdirSync } from "node:fs";
import { basename, dirname } from "node:path";

import type { ModelId } from "../../../protocol/ids.ts";
import { reasonOf } from "../reason.ts";
import { lockDirectory } from "../state/directory-lock.ts";
import { UserError } from "../user-error.ts";
import { download, isThere, look } from "./download.ts";
import { partSize } from "./part-file.ts";
import type { DownloadPorts } from "./ports.ts";
import { UnreachableError, WrongFileError } from "./problems.ts";
import { sizeText } from "./progress.ts";
import { FEW_TRIES, MANY_TRIES, pause } from "./retry.ts";
import { isUnprotected, shown, type RemoteFile, type RemoteModel } from "./source.ts";

/**
 * Downloads models in rounds, one file at a time. Each model is handed over as soon as it is complete, and one that fails is
 * retried in the next round. While the machine has nothing to serve, a mistake of its owner ends the program; once it
 * serves, no download does.
 */

/** Disk space that is left free. */
const SPARE_BYTES = 1e9;
/** Pause between two rounds. */
export const ROUND_PAUSE_MS = 5 * 60_000;

export interface FetchHost {
  /** Whether the machine has a model to serve. */
  isServing(): boolean;
  /** All files of the model are on disk. @throws UserError if it cannot be served. */
  onWhole(model: RemoteModel): void;
  /** A download begins. */
  onBegin(model: RemoteModel): void;
  /** The model could not be downloaded; if `isFinal`, it is not retried until the program is restarted. */
  onTrouble(model: RemoteModel, error: UserError, isFinal: boolean): void;
}

/**
 * Downloads what is not on disk. Resolves when every model is complete or has failed for good.
 * @throws UserError if a model fails while the machine has nothing to serve, and the signal's reason.
 */
export async function fetchModels(
  models: readonly RemoteModel[],
  directory: string,
  ports: DownloadPorts,
  host: FetchHost,
): Promise<void> {
  for (const { files } of models) warnOfUnprotected(files, ports);
  let wanted = models;
  while (wanted.length > 0) {
    const round = new Round(wanted, directory, ports, host);
    await round.run();
    wanted = round.toRepeat;
    if (wanted.length > 0) await pause(ROUND_PAUSE_MS, ports);
  }
}

function warnOfUnprotected(files: readonly RemoteFile[], { log }: DownloadPorts): void {
  for (const { url, path, sha256 } of files) {
    if (!isUnprotected(url) || sha256 !== null || existsSync(path)) continue;
    log.warn(`${shown(url)} is http: anybody on the way can change the model; use https, or add #sha256=HEX`);
  }
}

class Round {
  /** Models that failed in this round and are retried in the next. */
  readonly toRepeat: RemoteModel[] = [];
  readonly #models: readonly RemoteModel[];
  readonly #directory: string;
  readonly #ports: DownloadPorts;
  readonly #host: FetchHost;
  readonly #failed = new Set<RemoteModel>();
  /** Files that are not on disk, by model. */
  readonly #missing = new Map<RemoteModel, readonly RemoteFile[]>();

  constructor(models: readonly RemoteModel[], directory: string, ports: DownloadPorts, host: FetchHost) {
    this.#models = models;
    this.#directory = directory;
    this.#ports = ports;
    this.#host = host;
  }

  async run(): Promise<void> {
    for (const model of this.#models) await this.#attempt([model], () => this.#find(model));
    await this.#attempt(this.#wanted(), () => this.#fetchMissing());
  }

  async #find(model: RemoteModel): Promise<void> {
    const missing: RemoteFile[] = [];
    for (const file of model.files) {
      if (!(await isThere(model.id, file, this.#ports))) missing.push(file);
    }
    if (missing.length === 0) this.#host.onWhole(model);
    else this.#missing.set(model, missing);
  }

  async #fetchMissing(): Promise<void> {
    if (this.#missing.size === 0) return;
    makeDirectory(this.#directory);
    const unlock = lockDirectory(this.#directory, "--downloads-dir");
    try {
      const sizes = new Map<string, number>();
      for (const model of this.#wanted()) await this.#attempt([model], () => this.#look(model, sizes));
      await checkSpace(this.#directory, sizes, this.#ports);
      for (const model of this.#wanted()) await this.#attempt([model], () => this.#fetch(model));
    } finally {
      unlock();
    }
  }

  async #look(model: RemoteModel, sizes: Map<string, number>): Promise<void> {
    const tries = this.#host.isServing() ? FEW_TRIES : MANY_TRIES;
    for (const file of this.#missing.get(model) ?? []) {
      const { sizeBytes } = await look(file, tries, this.#ports);
      sizes.set(file.path, sizeBytes ?? 0);
    }
  }

  async #fetch(model: RemoteModel): Promise<void> {
    this.#host.onBegin(model);
    for (const file of this.#missing.get(model) ?? []) await fetchOne(model.id, file, this.#ports);
    this.#host.onWhole(model);
  }

  /** Models that this round has yet to fetch. */
  #wanted(): RemoteModel[] {
    return [...this.#missing.keys()].filter((model) => !this.#failed.has(model));
  }

  /** Runs a step for `models`. If it fails, this round is over for them, or the program ends if it must not go on. */
  async #attempt(models: readonly RemoteModel[], act: () => Promise<void>): Promise<void> {
    try {
      await act();
    } catch (cause) {
      if (!(cause instanceof UserError)) throw cause;
      const isLast = this.#failed.size + models.length >= this.#models.length;
      const mayFail = this.#host.isServing() || (cause instanceof UnreachableError && !isLast);
      if (!mayFail) throw cause;
      const isFinal = cause instanceof WrongFileError;
      for (const model of models) {
        if (this.#failed.has(model)) continue;
        this.#failed.add(model);
        if (!isFinal) this.toRepeat.push(model);
        this.#host.onTrouble(model, cause, isFinal);
      }
    }
  }
}

function makeDirectory(directory: string): void {
  try {
    mkdirSync(directory, { recursive: true });
  } catch (cause) {
    throw new UserError(`Cannot make the directory ${directory}: ${reasonOf(cause)}.`, { cause });
  }
}

/** @throws UserError that says how much space is needed and how much is free. */
async function checkSpace(
  directory: string,
  sizes: ReadonlyMap<string, number>,
  ports: DownloadPorts,
): Promise<void> {
  let needed = 0;
  for (const [path, sizeBytes] of sizes) needed += Math.max(0, sizeBytes - partSize(path));
  const free = await ports.freeBytes(directory);
  if (needed === 0 || needed + SPARE_BYTES <= free) return;
  const files = [...sizes.keys()].map((path) => basename(path)).join(", ");
  throw new UserError(
    `The disk of ${directory} is too full for ${files}: ${sizeText(needed)} have to be downloaded, ${sizeText(free)} are free, and ${sizeText(SPARE_BYTES)} should stay so. Make room, or choose another disk with --downloads-dir.`,
  );
}

async function fetchOne(id: ModelId, file: RemoteFile, ports: DownloadPorts): Promise<void> {
  const { log, clock, showProgress } = ports;
  // Two ids may name the same file.
  if (await isThere(id, file, ports)) return;
  makeDirectory(dirname(file.path));
  const startedAt = clock.now();
  const there = partSize(file.path);
  log.info("downloading", {
    model: id,
    from: shown(file.url),
    to: file.path,
    there: there === 0 ? null : sizeText(there),
  });
  try {
    const sizeBytes = await download(id, file, ports);
    const seconds = Math.round((clock.now() - startedAt) / 1000);
    log.info("downloaded", { model: id, file: basename(file.path), size: sizeText(sizeBytes), seconds });
  } finally {
    showProgress?.(null);
  }
}
