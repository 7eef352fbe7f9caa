import type { Log, LogFields } from "./agent/ports.ts";

/** Log lines, as text for people or JSON for programs. They never contain prompt or answer text. */

type Level = "info" | "warn" | "error";

export interface LogOptions {
  readonly json: boolean;
  readonly write: (line: string) => void;
  /** Milliseconds since the Unix epoch. */
  readonly now: () => number;
}

export function createLog({ json, write, now }: LogOptions): Log {
  const log = (level: Level, message: string, fields: LogFields = {}): void => {
    const at = new Date(now()).toISOString();
    write(
      json
        ? JSON.stringify({ at, level, message, ...fields })
        : withoutControls(`${at.slice(0, 19)}Z ${level.padEnd(5)} ${message}${asText(fields)}`),
    );
  };
  return {
    info: (message, fields) => log("info", message, fields),
    warn: (message, fields) => log("warn", message, fields),
    error: (message, fields) => log("error", message, fields),
  };
}

/** Messages may quote another server, and a terminal would execute control characters. */
function withoutControls(line: string): string {
  return line.replaceAll(/\p{Cc}+/gu, " ");
}

function asText(fields: LogFields): string {
  let text = "";
  for (const [name, value] of Object.entries(fields)) {
    if (value === null || value === "") continue;
    const shown = String(value);
    text += ` ${name}=${/[\s"=\p{Cc}]/u.test(shown) ? JSON.stringify(shown) : shown}`;
  }
  return text;
}
