import { cpus, release, totalmem } from "node:os";

import type { Row } from "./rows.ts";

/** The page `docs/benchmarks.md`: every row as it was measured in one run. */
export function reportOf(
  rows: readonly Row[],
  command: string,
  versions: Record<string, string>,
  date: Date,
): string {
  const short = rows.filter(({ met }) => met === false);
  const cells = (values: readonly string[]): string => `| ${values.join(" | ")} |`;
  const verdict = { true: "yes", false: "**falls short**", null: "not measured" };
  return [
    "# Benchmarks",
    "",
    `Measured by \`${command}\` on ${date.toISOString().slice(0, 10)}, in one run.`,
    "",
    `Machine: ${cpus()[0]?.model ?? "unknown"}, ${cpus().length} cores, ${(totalmem() / 1e9).toFixed(0)} GB, Linux ${release()}.`,
    `Versions: ${Object.entries(versions)
      .map(([name, version]) => `${name} ${version}`)
      .join(", ")}.`,
    "",
    cells(["work", "target", "reached", "met"]),
    cells(["---", "---", "---", "---"]),
    ...rows.map(({ work, target, reached, met }) => cells([work, target, reached, verdict[`${met}`]])),
    "",
    "## How to read it",
    "",
    "- The server under test is pinned to core 0; the load generator, the mock upstream and the mock machines share core 1.",
    "- CPU is user and system time of the server's processes over the measured time. The tick is 10 ms. Absolute numbers vary by a",
    "  quarter on a shared machine; ratios within one run vary less.",
    "- Poolkeeper is the minified bundle in plain `workerd serve`, one thread for HTTP, Worker and Durable Objects, with API key,",
    "  catalog, validation and usage counters. Workers KV is a small in-memory worker in the same process. Nothing was measured on",
    "  Cloudflare's own machines.",
    "- nginx runs one worker with `proxy_buffering off` and kept-alive upstream connections; Portkey's gateway runs on Node 24. Both get",
    "  tokens over HTTP from the mock, one write per token when paced and ten when not. Poolkeeper gets them over 8 WebSockets",
    "  through the provider's real `Outbox`, which collects for 40 ms. Part of the gain is that collecting.",
    "- Any answer that is not a complete 200 makes its row fail. Writes are seen as changes of size or time of the pool's database files,",
    "  looked at every 10 ms, which cannot tell two commits within 10 ms apart.",
    "- Whether the pool hibernated before the idle row's first answer is not visible from outside; the row waits 13 s, the platform",
    "  needs 10 s.",
    "",
    "## Falls short",
    "",
    ...(short.length === 0
      ? ["No row that was measured."]
      : short.map(({ work, target, reached }) => `- ${work}: target ${target}; reached ${reached}.`)),
    "",
  ].join("\n");
}
