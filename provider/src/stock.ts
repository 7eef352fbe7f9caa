import type { Log, OfferedModel } from "./agent/ports.ts";
import { planDownloads } from "./downloads/plan.ts";
import { Downloads } from "./downloads/run.ts";
import { findModels, type FoundModels } from "./models.ts";
import type { Options } from "./options.ts";
import type { TerminalLine } from "./terminal-line.ts";

/** What the machine has to offer when it begins to serve, and what is on its way. */
export interface Stock extends FoundModels {
  readonly downloads: Downloads;
  /** Ids of the models that are still to come. */
  readonly coming: readonly string[];
}

/**
 * Looks for the models that the command line names and begins to download those that are missing. Of a machine that has none,
 * the first one is waited for.
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
