import { cpus, release, totalmem } from "node:os";

import type { Row } from "./row.ts";
import { SLOTS_PER_MACHINE } from "./support/coordinator.ts";

export interface Circumstances {
  readonly command: string;
  readonly date: Date;
  readonly versions: Readonly<Record<string, string>>;
  /** Share of the machine's cores, 0 to 1, that something else was using. */
  readonly bystanders: number;
}

/** The page `docs/benchmarks.md`: every row as it was measured in one run. */
export function reportOf(
  rows: readonly Row[],
  { command, date, versions, bystanders }: Circumstances,
): string {
  const short = rows.filter(({ met }) => met === false);
  const cells = (values: readonly string[]): string => `| ${values.join(" | ")} |`;
  const verdict = { true: "yes", false: "**falls short**", null: "not compared" };
  return [
    "# Benchmarks",
    "",
    `Written by \`${command}\` on ${date.toISOString().slice(0, 10)}: one run, nothing edited afterwards.`,
    "",
    `Machine: ${cpus()[0]?.model ?? "unknown"}, ${cpus().length} cores, ${(totalmem() / 1e9).toFixed(0)} GB, Linux ${release()}.`,
    `Other processes used ${(bystanders * 100).toFixed(0)} % of its cores during the run.`,
    `Versions: ${Object.entries(versions)
      .map(([name, version]) => `${name} ${version}`)
      .join(", ")}.`,
    "",
    cells(["work", "target", "reached", "met"]),
    cells(["---", "---", "---", "---"]),
    ...rows.map(({ work, target, reached, met }) => cells([work, target, reached, verdict[`${met}`]])),
    "",
    "## Falls short",
    "",
    ...(short.length === 0
      ? ["Nothing that was measured."]
      : short.map(({ work, target, reached }) => `- ${work}: target ${target}; reached ${reached}.`)),
    "",
    METHOD,
  ].join("\n");
}

const METHOD = `## How it is measured

- The server under test is pinned to core 0. The load generator, the mock upstream and the mock machines are one Node process
  on core 1.
- CPU is user and system time of the server's processes, from \`/proc\`, over a window of 3 s while the load is steady. The
  servers take turns, three rounds each, and the sums are compared. Absolute numbers vary by a quarter on a shared machine;
  ratios within one run vary less. A server that is far from busy pays more per unit, since it wakes up for less at a time.
- Poolkeeper is the minified bundle in plain \`workerd serve\`: one thread for HTTP, Worker and Durable Objects, with API key, catalog,
  validation, gates and usage counters, all set up through the admin API. Workers KV is a small in-memory worker in the same
  process. Nothing was measured on Cloudflare's own machines.
- Bare workerd is what the platform costs of that by itself, with the same mock machines: a Worker passes each body on to one
  object, which sends it down a socket and answers with the bytes that come back. Nothing is checked, chosen or counted.
- nginx runs one worker with \`proxy_buffering off\` and kept-alive upstream connections. Portkey's gateway runs on the same Node as the
  load generator, with \`@hono/node-server\` held at 1.13.8, since it cannot stream with the version that it would install today. Both
  get tokens over HTTP from the mock, one write per token when paced and one per ten tokens at full speed.
- Poolkeeper gets tokens over WebSockets, from mock machines with ${SLOTS_PER_MACHINE} streams each at most. Paced tokens pass the provider's real
  \`Outbox\`, which collects for the \`flush_ms\` that the pool asks for, 40 ms up to 320 streams and 100 ms from 800 on; part of the gain
  is that collecting. At full speed each record of ten tokens is a frame.
- Any answer that is not a complete 200 makes its row fail.
- Hibernation is seen by the pool's constructor running again, which prints a line in the bench's configuration only.
- Messages are counted on the socket of the provider's own agent with its echo engine. The target is about four streams that share
  frames, so they are counted from the first token of the last stream to the end of the first one; the other figure is of the whole run.
- SQLite transactions are counted in the write-ahead logs themselves.
`;
