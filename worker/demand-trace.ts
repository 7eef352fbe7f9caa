import type { AskedModel } from "../core/fleet/replay-fleet.ts";
import type { DemandRow } from "../core/pool/demand.ts";

/**
 * The demand of all models as a trace: CSV with the columns `t_s, model, n, prompt_tokens, output_tokens`, one line
 * per model and minute with arrivals, times in seconds since the first minute. Refused requests generated nothing,
 * so their share of output tokens is taken to be that of the answered ones of the same model. If nobody asked for anything in
 * the second minute, a row says so: two rows that are far apart would look like a trace whose rows are longer than a minute.
 */
export function demandTrace(asked: readonly AskedModel[]): string {
  const lines = asked.flatMap(({ model, rows }) => {
    const completed = sum(rows, (row) => row.completed);
    const perAnswer = completed === 0 ? 0 : sum(rows, (row) => row.completionTokens) / completed;
    return rows
      .filter(({ arrivals }) => arrivals > 0)
      .map((row) => ({ at: row.minuteAt, model, row, output: Math.round(row.arrivals * perAnswer) }));
  });
  lines.sort((a, b) => a.at - b.at || (a.model < b.model ? -1 : 1));
  const firstAt = lines[0]?.at ?? 0;
  const text = lines.map(({ at, model, row, output }) =>
    [(at - firstAt) / 1000, model, row.arrivals, row.promptTokens, output].join(","),
  );
  const next = lines.findIndex(({ at }) => at !== firstAt);
  if (next > 0 && lines[next]?.at !== firstAt + 60_000) text.splice(next, 0, `60,${lines[0]?.model},0,0,0`);
  return ["t_s,model,n,prompt_tokens,output_tokens", ...text, ""].join("\n");
}

function sum(rows: readonly DemandRow[], of: (row: DemandRow) => number): number {
  return rows.reduce((total, row) => total + of(row), 0);
}
