/** Metrics in the text format of Prometheus, version 0.0.4. */

export const PROMETHEUS_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8";

export interface Metric {
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge" | "histogram";
  readonly samples: readonly Sample[];
}

export interface Sample {
  /** What a histogram's samples add to its name. */
  readonly suffix?: "_bucket" | "_sum" | "_count";
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** Metrics without a sample are left out. */
export function exposition(metrics: readonly Metric[]): string {
  const lines: string[] = [];
  for (const { name, help, type, samples } of metrics) {
    if (samples.length === 0) continue;
    lines.push(`# HELP ${name} ${escapeHelp(help)}`, `# TYPE ${name} ${type}`);
    for (const { suffix = "", labels, value } of samples)
      lines.push(`${name}${suffix}${braced(labels)} ${value}`);
  }
  return `${lines.join("\n")}\n`;
}

/** The samples of a histogram; `cumulative` has one more than there are bounds. */
export function histogramSamples(
  labels: Readonly<Record<string, string>>,
  boundsS: readonly number[],
  { cumulative, sumS }: { readonly cumulative: readonly number[]; readonly sumS: number },
): Sample[] {
  const buckets = cumulative.map((value, index): Sample => {
    return { suffix: "_bucket", labels: { ...labels, le: String(boundsS[index] ?? "+Inf") }, value };
  });
  const count = cumulative.at(-1) ?? 0;
  return [...buckets, { suffix: "_sum", labels, value: sumS }, { suffix: "_count", labels, value: count }];
}

function braced(labels: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escapeLabel(value)}"`);
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}

function escapeLabel(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}

function escapeHelp(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
}
