import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";

import { BadInput } from "./bad-input.ts";

/**
 * A demand trace: how many requests each model got in each minute. The file is CSV, plain or gzipped, with the
 * columns `t_s, model, n, prompt_tokens, output_tokens`, in any order; further columns are skipped. Counts are taken
 * as they are (nothing is drawn here); a minute without a row is a minute without requests.
 */
export interface Trace {
  readonly models: readonly string[];
  /** Second of the first minute. */
  readonly start_s: number;
  /** Requests per minute, then per model in the order of `models`. */
  readonly counts: readonly (readonly number[])[];
}

interface Row {
  readonly t_s: number;
  readonly model: string;
  readonly n: number;
}

/** A month of minutes: more is surely a mistake in the time column (milliseconds?). */
const MINUTES_MAX = 31 * 1440;
/** What is larger is no count; sums of many such numbers are still exact enough. */
const NUMBER_MAX = 1e15;
/** Some million rows, each an object; a month of minutes of fifty models has a third of that. */
const BYTES_MAX = 128 * 2 ** 20;
const COLUMNS = ["t_s", "model", "n"] as const;
const OPTIONAL_COLUMNS = ["prompt_tokens", "output_tokens"] as const;

export function readTrace(path: string): Trace {
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    throw new BadInput(`The trace ${path} cannot be read: ${error instanceof Error ? error.message : "?"}.`);
  }
  if (bytes[0] === 0x1f && bytes[1] === 0x8b) {
    try {
      bytes = gunzipSync(bytes, { maxOutputLength: BYTES_MAX });
    } catch (error) {
      if (error instanceof RangeError) throw tooLarge(path);
      throw new BadInput(`The trace ${path} looks gzipped but cannot be unpacked: copy it again.`);
    }
  }
  if (bytes.length > BYTES_MAX) throw tooLarge(path);
  return parseTrace(new TextDecoder().decode(bytes), path);
}

function tooLarge(path: string): BadInput {
  return new BadInput(
    `The trace ${path} has more than ${BYTES_MAX / 2 ** 20} MB of text. One row for all requests of a model in a minute is enough.`,
  );
}

export function parseTrace(text: string, name: string): Trace {
  const names = `The first line has to name the columns: ${COLUMNS.join(",")}.`;
  if (text.trim() === "") throw new BadInput(`${name} is empty. ${names}`);
  const lines = text.replace(/^\uFEFF/, "").split(/\r\n|\r|\n/);
  const header = cellsOf(lines[0] ?? "");
  const missing = COLUMNS.find((column) => !header.includes(column));
  if (missing !== undefined) {
    throw new BadInput(
      `${name}, line 1: the column "${missing}" is missing ${foundIn(lines[0] ?? "")}. ${names}`,
    );
  }
  const rows: Row[] = [];
  for (let index = 1; index < lines.length; index += 1) {
    const line = lines[index] ?? "";
    if (line.trim() !== "") rows.push(rowOf(cellsOf(line), header, `${name}, line ${index + 1}`));
  }
  if (rows.length === 0) throw new BadInput(`${name} has no rows under its header.`);
  return intoMinutes(rows, name);
}

/** Whatever there is if it is no CSV: a line of JSON can be a whole file, and one of a picture rings the terminal's bell. */
function foundIn(line: string): string {
  const found = cellsOf(line)
    .join(", ")
    .slice(0, 120)
    .replaceAll(/\p{Cc}/gu, "?");
  const hasOtherCommas = /[;\t]/.test(line) && !line.includes(",");
  return `(found: ${found}${hasOtherCommas ? "; commas have to be between them" : ""})`;
}

/** Some tools put text in quotes. No name of a model has a comma. */
function cellsOf(line: string): string[] {
  return line.split(",").map((cell) => cell.trim().replace(/^"(.*)"$/, "$1"));
}

function rowOf(cells: readonly string[], header: readonly string[], where: string): Row {
  if (cells.length !== header.length) {
    throw new BadInput(`${where}: ${cells.length} cells, but the header has ${header.length} columns.`);
  }
  const cell = (column: string) => cells[header.indexOf(column)] ?? "";
  const number = (column: string): number => {
    const value = Number(cell(column));
    if (cell(column) === "" || !(value >= 0)) {
      throw new BadInput(`${where}, column "${column}": "${cell(column)}" is not a number of 0 or more.`);
    }
    if (value > NUMBER_MAX) throw new BadInput(`${where}, column "${column}": ${cell(column)} is too large.`);
    return value;
  };
  for (const column of OPTIONAL_COLUMNS) {
    if (header.includes(column) && cell(column) !== "") number(column);
  }
  const model = cell("model");
  if (model === "") throw new BadInput(`${where}, column "model": the name is empty.`);
  return { t_s: number("t_s"), model, n: number("n") };
}

/** Sums rows into minutes; rows on a grid of more than a minute stand for that long, and are spread evenly over it. */
function intoMinutes(rows: readonly Row[], name: string): Trace {
  const times = [...new Set(rows.map((row) => row.t_s))].sort((a, b) => a - b);
  const start_s = Math.floor((times[0] ?? 0) / 60) * 60;
  let step_s = Number.POSITIVE_INFINITY;
  for (let index = 1; index < times.length; index += 1) {
    step_s = Math.min(step_s, (times[index] ?? 0) - (times[index - 1] ?? 0));
  }
  // Single requests of a quiet fleet are far apart as well, but not by the same time again and again.
  const stepsTo = (t_s: number): number => (t_s - (times[0] ?? 0)) / step_s;
  const isGrid =
    Number.isFinite(step_s) && times.every((t_s) => Math.abs(stepsTo(t_s) - Math.round(stepsTo(t_s))) < 1e-6);
  const span = isGrid ? Math.max(1, Math.round(step_s / 60)) : 1;
  const minutes = Math.floor(((times.at(-1) ?? 0) - start_s) / 60) + span;
  if (minutes > MINUTES_MAX) {
    throw new BadInput(`${name} spans ${minutes} minutes, more than ${MINUTES_MAX}: is "t_s" in seconds?`);
  }
  const models = [...new Set(rows.map((row) => row.model))].sort();
  const indexOf = new Map(models.map((model, index) => [model, index]));
  const counts = Array.from({ length: minutes }, () => models.map(() => 0));
  for (const row of rows) {
    const minute = Math.floor((row.t_s - start_s) / 60);
    const model = indexOf.get(row.model) ?? 0;
    for (let offset = 0; offset < span; offset += 1) {
      const at = counts[minute + offset];
      if (at) at[model] = (at[model] ?? 0) + row.n / span;
    }
  }
  return { models, start_s, counts };
}
