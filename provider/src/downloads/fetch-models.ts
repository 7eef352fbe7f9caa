import { mkdirSync } from "node:fs";
import { basename, dirname } from "node:path";

import type { ModelId } from "../../../protocol/ids.ts";
import { findModels, type ModelSources } from "../models.ts";
import { reasonOf } from "../reason.ts";
import { lockState } from "../state.ts";
import { UserError } from "../user-error.ts";
import { download, isThere, look } from "./download.ts";
import { partSize } from "./part-file.ts";
import { FEW_TRIES, MANY_TRIES } from "./patience.ts";
import type { DownloadPorts } from "./ports.ts";
import { UnreachableError } from "./problems.ts";
import { sizeText } from "./progress.ts";
import { isUnprotected, readRemoteModel, shown, type RemoteFile, type RemoteModel } from "./source.ts";

/** Fetches the models that the command line names by an address, one file after the other, before the machine serves. */

/** Left to everything else on the disk. */
const SPARE_BYTES = 1e9;

interface Wanted {
  readonly id: ModelId;
  readonly file: RemoteFile;
}

/**
 * The same sources with files on this machine in the place of addresses. What is there already needs no network. A model
 * whose source cannot be reached is left out with a warning if there is another one to serve.
 * @throws UserError if a model is not to be had, and the signal's reason.
 */
export async function fetchModels(
  sources: ModelSources,
  directory: string,
  ports: DownloadPorts,
): Promise<ModelSources> {
  const remote = new Map<string, RemoteModel>();
  const mayBeFiles = sources.form === "files" || sources.form === "files or names";
  for (const source of mayBeFiles ? sources.models : []) {
    const model = readRemoteModel(source, directory);
    if (model !== null) remote.set(source, model);
  }
  if (remote.size === 0) return sources;
  checkOthers(sources, remote);
  const lost = await fetchAll(sources, [...remote.values()], directory, ports);
  const models: string[] = [];
  for (const source of sources.models) {
    const model = remote.get(source);
    if (model === undefined) models.push(source);
    else if (!lost.has(model.id)) models.push(`${model.id}=${model.files[0]?.path ?? ""}`);
  }
  return { ...sources, models };
}

/** Mistakes that would be found after the download, which may take hours. */
function checkOthers({ models, form }: ModelSources, remote: ReadonlyMap<string, RemoteModel>): void {
  const local = models.filter((source) => !remote.has(source));
  if (local.length > 0) findModels({ models: local, directories: [], form });
  const ids = models.map((source) => source.split("=", 1)[0] ?? "");
  const twice = ids.find((id, index) => ids.indexOf(id) < index);
  if (twice === undefined) return;
  throw new UserError(`Two files are to be model ${twice}. Give each model an id of its own.`);
}

/** @returns the models that are not to be had today. */
async function fetchAll(
  sources: ModelSources,
  remote: readonly RemoteModel[],
  directory: string,
  ports: DownloadPorts,
): Promise<ReadonlySet<ModelId>> {
  const wanted = await missing(remote, ports);
  const lost = new Set<ModelId>();
  if (wanted.length === 0) return lost;
  const absent = new Set(wanted.map(({ id }) => id));
  const hasOthers = sources.directories.length > 0 || sources.models.length > absent.size;
  const orLose = async (id: ModelId, act: () => Promise<void>): Promise<void> => {
    try {
      if (!lost.has(id)) await act();
    } catch (cause) {
      const isLast = !hasOthers && lost.size + 1 === absent.size;
      if (!(cause instanceof UnreachableError) || isLast) throw cause;
      lost.add(id);
      ports.log.warn(`skipped ${id}: ${cause.message}`);
    }
  };
  makeDirectory(directory);
  const unlock = lockState(directory, "--downloads-dir");
  try {
    const sizes = new Map<string, number>();
    for (const { id, file } of wanted) {
      await orLose(id, async () => {
        const { sizeBytes } = await look(file, hasOthers ? FEW_TRIES : MANY_TRIES, ports);
        sizes.set(file.path, sizeBytes ?? 0);
      });
    }
    await checkSpace(directory, sizes, ports);
    for (const { id, file } of wanted) await orLose(id, () => fetchOne(id, file, ports));
  } finally {
    unlock();
  }
  return lost;
}

async function missing(remote: readonly RemoteModel[], { log, signal }: DownloadPorts): Promise<Wanted[]> {
  const wanted: Wanted[] = [];
  for (const { id, files } of remote) {
    for (const file of files) {
      if (await isThere(file, signal)) continue;
      wanted.push({ id, file });
      if (!isUnprotected(file.url) || file.sha256 !== null) continue;
      log.warn(
        `${shown(file.url)} is http: anybody on the way can change the model; use https, or add #sha256=HEX`,
      );
    }
  }
  return wanted;
}

function makeDirectory(directory: string): void {
  try {
    mkdirSync(directory, { recursive: true });
  } catch (cause) {
    throw new UserError(`Cannot make the directory ${directory}: ${reasonOf(cause)}.`, { cause });
  }
}

/** @throws UserError that says how much is needed, and how much is there. */
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
  const { log, clock, signal, showProgress } = ports;
  // Two ids may be for one file.
  if (await isThere(file, signal)) return;
  makeDirectory(dirname(file.path));
  const startedAt = clock.now();
  const there = partSize(file.path);
  log.info("downloading", {
    model: id,
    from: shown(file.url),
    to: file.path,
    there: there === 0 ? null : sizeText(there),
  });
  const sizeBytes = await download(id, file, ports);
  showProgress?.("");
  const seconds = Math.round((clock.now() - startedAt) / 1000);
  log.info("downloaded", { model: id, file: basename(file.path), size: sizeText(sizeBytes), seconds });
}
