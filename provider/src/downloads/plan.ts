import { existsSync, statSync } from "node:fs";

import type { ModelSources } from "../models.ts";
import { readHash } from "./record.ts";
import { readRemoteModel, type RemoteFile, type RemoteModel } from "./source.ts";

/** Which of the models on the command line are on disk, and which have to be downloaded. */

export interface DownloadPlan {
  /** The models on disk, with paths in place of URLs. */
  readonly here: ModelSources;
  /** In the owner's order. Includes files on disk whose hash has to be checked first. */
  readonly coming: readonly RemoteModel[];
}

/** @throws UserError if a URL is invalid. */
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

/** The model as the command line would name its local file. */
export function localSource({ id, files }: RemoteModel): string {
  return `${id}=${files[0]?.path ?? ""}`;
}

/** Whether the file is on disk and, if a hash was given, already verified: hashing may take minutes. */
function isKnown({ path, sha256 }: RemoteFile): boolean {
  if (sha256 === null) return existsSync(path);
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat !== undefined && readHash(path, stat.size) === sha256;
}
