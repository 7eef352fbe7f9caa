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
  return [...text, "", ...result.notes].join("\n");
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
