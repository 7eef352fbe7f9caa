import { existsSync, statSync } from "node:fs";

import type { ModelSources } from "../models.ts";
import { readHash } from "./record.ts";
import { readRemoteModel, type RemoteFile, type RemoteModel } from "./source.ts";

/** Which of the models that the command line names are here, and which are still to come. */

export interface DownloadPlan {
  /** The sources without those to come, and with files on this machine in the place of addresses. */
  readonly here: ModelSources;
  /** In the owner's order. What is there but has to be held against a hash first is among them. */
  readonly coming: readonly RemoteModel[];
}

/** @throws UserError if an address is not one. */
export function planDownloads(sources: ModelSources, directory: string): DownloadPlan {
  if (sources.form !== "files" && sources.form !== "files or names") return { here: sources, coming: [] };
  const here: string[] = [];
  const coming: RemoteModel[] = [];
  for (const source of sources.models) {
    const model = readRemoteModel(source, directory);
    if (model === null) here.push(source);
    else if (model.files.every(isKnown)) here.push(localSource(model));
    else coming.push(model);
  }
  return { here: { ...sources, models: here }, coming };
}

/** As the command line would name it if it had been on this machine from the start. */
export function localSource({ id, files }: RemoteModel): string {
  return `${id}=${files[0]?.path ?? ""}`;
}

/** A hash that has to be counted first may take minutes. */
function isKnown({ path, sha256 }: RemoteFile): boolean {
  if (sha256 === null) return existsSync(path);
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat !== undefined && readHash(path, stat.size) === sha256;
}
