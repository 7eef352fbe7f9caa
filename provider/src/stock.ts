import type { Log, OfferedModel } from "./agent/ports.ts";
import { planDownloads } from "./downloads/plan.ts";
import { Downloads } from "./downloads/run.ts";
import { findModels, type FoundModels } from "./models.ts";
import type { Options } from "./options.ts";
import type { TerminalLine } from "./terminal-line.ts";

/** The models that the machine can offer at the start, and those still to be downloaded. */
export interface Stock extends FoundModels {
  readonly downloads: Downloads;
  /** Ids of the models that are still to come. */
  readonly coming: readonly string[];
}

/**
 * Finds the models on the command line and starts to download those that are missing. If none is on disk, waits for the
 * first download.
 * @returns null if a signal came first.
 * @throws UserError
 */
export async function gatherStock(
  { sources, downloadsDirectory: directory, hubToken }: Options,
  log: Log,
  line: TerminalLine | null,
): Promise<Stock | null> {
  const { here, coming } = planDownloads(sources, directory);
  const ids = coming.map(({ id }) => id);
  const found = findModels(here, ids);
  const isServing = found.models.length > 0;
  const downloads = new Downloads(coming, { form: sources.form, directory, hubToken, log, line, isServing });
  if (isServing) return { ...found, downloads, coming: ids };
  const arrived: OfferedModel | null = await downloads.first();
  if (arrived === null) return null;
  const { id } = arrived;
  return { ...found, models: [arrived], first: id, downloads, coming: ids.filter((other) => other !== id) };
}
