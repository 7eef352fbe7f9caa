import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";

/** Which browser shows the dashboard to its tests: Chromium, or Chrome, from wherever this machine has it. */

/** Names the program; empty for none. */
export const BROWSER_VARIABLE = "POOLKEEPER_BROWSER";

const NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

const APPLICATIONS = [
  "Google Chrome.app/Contents/MacOS/Google Chrome",
  "Chromium.app/Contents/MacOS/Chromium",
];

export interface FoundBrowser {
  readonly path: string;
  /** Whether somebody has named it, so that it has to work. */
  readonly isNamed: boolean;
}

/**
 * @param env as of the process
 * @param folders where macOS keeps its applications
 * @returns null if there is none
 * @throws Error if one is named that is not there
 */
export function findBrowser(
  env: Readonly<Record<string, string | undefined>>,
  folders: readonly string[] = ["/Applications", join(homedir(), "Applications")],
): FoundBrowser | null {
  const named = env[BROWSER_VARIABLE];
  if (named === "") return null;
  if (named !== undefined) {
    if (existsSync(named)) return { path: named, isNamed: true };
    throw new Error(`${BROWSER_VARIABLE} names ${named}, which is not there`);
  }
  const directories = (env["PATH"] ?? "").split(delimiter).filter((directory) => directory !== "");
  const places = [
    ...NAMES.flatMap((name) => directories.map((directory) => join(directory, name))),
    ...folders.flatMap((folder) => APPLICATIONS.map((application) => join(folder, application))),
  ];
  const path = places.find((place) => existsSync(place));
  return path === undefined ? null : { path, isNamed: false };
}
