import { basename } from "node:path";

import { chart, COLOURS, MODEL_COLOURS } from "./report-chart.ts";
import { LEGEND, tableHead, tableOf } from "./report-text.ts";
import {
  EXTRA_POLICY_NAMES,
  POLICY_NAMES,
  type PolicyName,
  type PolicyResult,
  type Result,
  type Series,
} from "./simulate.ts";

/** One self-contained page: the table, and what the policies did over time. No script, nothing from the network. */
const STYLE = `
:root { color-scheme: light dark; --ink: #1c2430; --soft: #667085; --line: #d9dee7; --paper: #fff; --card: #f6f8fb; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8ecf3; --soft: #98a2b3; --line: #344054; --paper: #10151d; --card: #19202b; }
}
body { margin: 0 auto; max-width: 1080px; padding: 24px 20px 60px; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 24px; margin: 0 0 4px; } h2 { font-size: 18px; margin: 36px 0 4px; }
p { color: var(--soft); margin: 0 0 12px; max-width: 100ch; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 14px; margin: 14px 0; font-size: 14px; }
dt { font-weight: 600; } dd { margin: 0; color: var(--soft); }
.wide { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: 6px 10px; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } th { color: var(--soft); font-weight: 600; }
tr.ours td { font-weight: 700; } figure { margin: 12px 0; background: var(--card); border-radius: 10px; padding: 12px; }
svg { display: block; width: 100%; min-width: 640px; height: auto; } svg text { fill: var(--soft); font: 12px system-ui, sans-serif; }
svg .grid { stroke: var(--line); } figcaption { color: var(--soft); font-size: 13px; }
.key { display: inline-block; margin-right: 16px; white-space: nowrap; }
.key i { display: inline-block; width: 14px; height: 3px; border-radius: 2px; margin-right: 6px; vertical-align: middle; }
`;

export function reportHtml(
  result: Result,
  source: { readonly trace: string; readonly fleet: string },
): string {
  const shown = [...POLICY_NAMES, ...EXTRA_POLICY_NAMES].flatMap((name) => {
    const policy = result.policies[name];
    return policy ? [{ name, policy }] : [];
  });
  const series = shown[0]?.policy.series;
  if (!series) return "";
  const optimum = result.policies.optimum?.series;
  const rows = tableOf(result).map(
    (cells) =>
      `<tr class="${escape(cells[0] ?? "")}">${cells.map((cell) => `<td>${escape(cell)}</td>`).join("")}</tr>`,
  );
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Placement simulation</title><style>${STYLE}</style></head><body>
<h1>Placement simulation</h1>
<p>${escape(basename(source.trace))} on ${escape(basename(source.fleet))}: ${series.models.length} models,
${series.t_s.length} minutes.</p>
<div class="wide"><table><thead><tr>${tableHead()
    .map((cell) => `<th>${escape(cell)}</th>`)
    .join("")}</tr></thead>
<tbody>${rows.join("\n")}</tbody></table></div>
<dl>
${LEGEND.map(([name, meaning]) => `<dt>${escape(name)}</dt><dd>${escape(meaning)}</dd>`).join("\n")}
</dl>
${result.notes.map((note) => `<p>${escape(note)}</p>`).join("\n")}
<h2>${optimum === undefined ? "Demand that was not served" : "Demand that the optimum served and the policy did not"}</h2>
<p>Machine units, mean of each hour; lower is better.</p>
${lines(shown, lostAgainst(optimum))}
<h2>Switches</h2><p>Per hour, all machines together.</p>
${lines(shown, switchesPerHour)}
${shown.map(({ name, policy }) => pools(name, policy)).join("\n")}
</body></html>
`;
}

type Shown = readonly { readonly name: PolicyName; readonly policy: PolicyResult }[];

function lines(shown: Shown, values: (series: Series) => number[]): string {
  const drawn = shown
    .filter(({ policy }) => values(policy.series).some((value) => value > 0))
    .map(({ name, policy }) => ({
      name,
      colour: COLOURS[[...POLICY_NAMES, ...EXTRA_POLICY_NAMES].indexOf(name)] ?? "",
      values: values(policy.series),
    }));
  return figure(drawn, chart(drawn, shown[0]?.policy.series.t_s ?? []));
}

/** Demand (dotted) and ready machines (solid) of each model under one policy. */
function pools(name: string, { series }: PolicyResult): string {
  const drawn = series.models.flatMap((model, index) => {
    const colour = MODEL_COLOURS[index % MODEL_COLOURS.length] ?? "";
    const column = (table: Series["demand"]) => table.map((row) => row[index] ?? 0);
    return [
      { name: model, colour, values: column(series.ready) },
      { name: "", colour, values: column(series.demand), dotted: true },
    ];
  });
  return `<h2>Machines under ${escape(name)}</h2><p>Ready machine units (solid) and demand (dotted) per model.</p>
${figure(drawn, chart(drawn, series.t_s))}`;
}

function figure(drawn: readonly { readonly name: string; readonly colour: string }[], svg: string): string {
  const keys = drawn
    .filter(({ name }) => name !== "")
    .map(
      ({ name, colour }) => `<span class="key"><i style="background:${colour}"></i>${escape(name)}</span>`,
    );
  return `<figure><div class="wide">${svg}</div><figcaption>${keys.join("")}</figcaption></figure>`;
}

/** Without the optimum, all that was not served. */
function lostAgainst(optimum: Series | undefined): (series: Series) => number[] {
  return (series) => {
    const lost = unserved(series);
    const unavoidable = optimum === undefined ? [] : unserved(optimum);
    return hourly(lost.map((value, minute) => value - (unavoidable[minute] ?? 0)));
  };
}

function unserved({ demand, ready }: Series): number[] {
  return demand.map((row, minute) =>
    row.reduce((total, wanted, model) => total + Math.max(0, wanted - (ready[minute]?.[model] ?? 0)), 0),
  );
}

function hourly(values: readonly number[]): number[] {
  return values.map((_, minute) => {
    const hour = values.slice(minute - (minute % 60), minute - (minute % 60) + 60);
    return Math.max(0, hour.reduce((sum, value) => sum + value, 0) / hour.length);
  });
}

function switchesPerHour({ moves, t_s }: Series): number[] {
  const start = t_s[0] ?? 0;
  const hours = Array.from({ length: Math.ceil(t_s.length / 60) }, () => 0);
  for (const [at, , from] of moves) {
    const hour = Math.floor((at - start) / 3600);
    if (from !== null) hours[hour] = (hours[hour] ?? 0) + 1;
  }
  return t_s.map((_, minute) => hours[Math.floor(minute / 60)] ?? 0);
}

function escape(text: string): string {
  return text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;").replace(/"/g, "&quot;");
}
