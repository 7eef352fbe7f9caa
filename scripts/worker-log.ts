import { stripVTControlCharacters } from "node:util";

/** What the Worker and its objects log, as a line like those of the provider. `workerd` prints an object over many lines. */

/** As Miniflare hands it over. */
export interface WorkerLog {
  /** Milliseconds since 1970. */
  readonly timestamp: number;
  readonly level: string;
  /** A text, or an object as `console` shows it, in colours. */
  readonly message: string;
}

export function workerLogLine({ timestamp, level, message }: WorkerLog): string {
  const text = stripVTControlCharacters(message);
  const time = new Date(timestamp).toISOString().replace(/\.\d+Z$/, "Z");
  return `${time} ${level.padEnd(5)} ${eventLine(text) ?? text}`;
}

/** `{ event: 'name', key: value, ... }` as `name key=value ...`; null if it is anything else. */
function eventLine(text: string): string | null {
  const inside = /^\{\s(.*)\s\}$/s.exec(text)?.[1];
  if (inside === undefined) return null;
  const parts: string[] = [];
  let rest = inside.trim();
  while (rest !== "") {
    const field = FIELD.exec(rest);
    if (field === null) return null;
    const [whole, key = "", value = ""] = field;
    const shown = /^'[\w.:/@-]+'$/.test(value) ? value.slice(1, -1) : value;
    parts.push(parts.length === 0 && key === "event" ? shown : `${key}=${shown}`);
    rest = rest.slice(whole.length);
  }
  return parts.join(" ");
}

/** The values of our events are texts, numbers, yes and no, and null. */
const FIELD = /^(\w+): ('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|`(?:[^`\\]|\\.)*`|[\w.+-]+)(?:,\s+|$)/;
