import { homedir } from "node:os";
import { join } from "node:path";

import { UserError } from "../user-error.ts";

/** Values of flags. */

/** @throws UserError */
export function readNumber<Default extends number | null>(
  flag: string,
  text: string | undefined,
  byDefault: Default,
  min: number,
  max: number,
): number | Default {
  if (text === undefined) return byDefault;
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= min && value <= max) return value;
  throw new UserError(`${flag} ${text} must be a whole number from ${min} to ${max}.`);
}

/** launchd and config files pass `~` on as it is; a shell has replaced it before. */
export function expandHome(path: string): string {
  return path === "~" || path.startsWith("~/") ? join(homedir(), path.slice(1)) : path;
}

/** The same for the file in `id=file`. */
export function expandHomeInSource(source: string): string {
  const at = source.indexOf("=");
  return at < 0 ? source : `${source.slice(0, at + 1)}${expandHome(source.slice(at + 1))}`;
}
