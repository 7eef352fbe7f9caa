import { EXTRA_POLICY_NAMES, POLICY_NAMES, type Result } from "./simulate.ts";

/** The table that is printed: one row per policy, one column per metric. */
const HEAD = [
  "policy",
  "served",
  "M1",
  "M2",
  "M3 mean",
  "worst",
  "back %",
  "M4 worst",
  "mean",
  "M5",
  "M6 %",
  "M7",
];

/** What the columns mean, for who has not read docs/simulate.md. */
export const LEGEND: readonly (readonly [string, string])[] = [
  ["served", "part of the demand"],
  ["M1", "served, over what the optimum served"],
  ["M2", "share of what adapting can gain over the best static placement"],
  ["M3", "switches per machine-day: mean, worst machine, and how many go back within 15 minutes"],
  ["M4", "minutes until a step of demand is served again: slowest, mean"],
  ["M5", "the worst model's served, over its served in the optimum with floors"],
  ["M6", "share of machine time idle on one model while demand for another is unmet"],
  ["M7", "requests refused while a machine had room"],
  ["-", "nothing to measure"],
];

const LINE_WIDTH = 100;

export function reportText(result: Result): string {
  const rows = tableOf(result);
  const widths = HEAD.map((cell, column) =>
    Math.max(cell.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, column) =>
        column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0),
      )
      .join("  ");
  const text = [line(HEAD), ...rows.map(line)];
  const legend = LEGEND.map(([name, meaning]) => `${name.padEnd(8)}${meaning}`);
  return [...text, "", ...legend, "", ...result.notes.map(wrapped)].join("\n");
}

/** Broken at blanks, so that it fits a terminal. */
function wrapped(text: string): string {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > LINE_WIDTH) {
      lines.push(line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line].join("\n");
}

export function tableHead(): readonly string[] {
  return HEAD;
}

export function tableOf({ policies }: Result): string[][] {
  return [...POLICY_NAMES, ...EXTRA_POLICY_NAMES].flatMap((name) => {
    const metrics = policies[name]?.metrics;
    if (!metrics) return [];
    return [
      [
        name,
        shown(metrics.goodput, 4),
        shown(metrics.m1, 4),
        shown(metrics.m2, 2),
        shown(metrics.m3_mean, 2),
        shown(metrics.m3_worst, 1),
        shown(metrics.m3_back === null ? null : metrics.m3_back * 100, 1),
        shown(metrics.m4_minutes, 0),
        shown(metrics.m4_mean, 1),
        shown(metrics.m5_worst, 3),
        shown(metrics.m6 * 100, 2),
        String(metrics.m7),
      ],
    ];
  });
}

function shown(value: number | null, digits: number): string {
  return value === null ? "-" : value.toFixed(digits);
}
