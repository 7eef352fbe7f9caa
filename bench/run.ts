import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";

import { z } from "zod";

import { ROOT } from "../scripts/root.ts";
import { reportOf } from "./report.ts";
import type { Row, RowSpec } from "./row.ts";
import { affinityEngine } from "./rows/affinity-engine.ts";
import { affinityKey } from "./rows/affinity-key.ts";
import { affinity } from "./rows/affinity.ts";
import { agent } from "./rows/agent.ts";
import { burst } from "./rows/burst.ts";
import { capacity } from "./rows/capacity.ts";
import { BLAST_ROW, CHAT_ROW, compare, PACED_ROW } from "./rows/compare.ts";
import { faults } from "./rows/faults.ts";
import { firstByte } from "./rows/first-byte.ts";
import { idle } from "./rows/idle.ts";
import { machines } from "./rows/machines.ts";
import { messages } from "./rows/messages.ts";
import { overload } from "./rows/overload.ts";
import { plan } from "./rows/plan.ts";
import { refusals } from "./rows/refusals.ts";
import { writes } from "./rows/writes.ts";
import { Bystanders } from "./support/machine.ts";
import { cleanUp, LOAD_CORE } from "./support/processes.ts";
import { nginxVersion } from "./support/references.ts";
import { startTargets, type Targets } from "./targets.ts";

/**
 * `npm run bench`: measures Poolkeeper beside nginx and Portkey's gateway, and writes docs/benchmarks.md.
 */

/** A whole run takes some ten minutes on a quiet machine. */
const TIME_LIMIT_MS = 900_000;

let started: Promise<Targets> | undefined;
const targets = (): Promise<Targets> => (started ??= startTargets());

/** The pool of the first ones, which share their servers, gets more machines from row to row. */
const ROWS: Readonly<Record<string, RowSpec>> = {
  "first-byte": firstByte(targets),
  chat: compare(CHAT_ROW, targets),
  blast: compare(BLAST_ROW, targets),
  paced: compare(PACED_ROW, targets),
  agent: agent(targets),
  capacity: capacity(targets),
  machines,
  plan,
  messages,
  refusals,
  overload,
  burst,
  faults,
  affinity,
  "affinity-key": affinityKey,
  "affinity-engine": affinityEngine,
  writes,
  idle,
};
/** The first ones share their servers, which must not take part in what runs after them. */
const SHARING = new Set(["first-byte", "chat", "blast", "paced", "agent", "capacity"]);

const USAGE = `npm run bench -- [--quick] [--only NAME,NAME...]

Measures each row and writes docs/benchmarks.md; some ten minutes on a quiet machine.

  --quick   shorter rows; the page is only printed
  --only    these rows; the page is only printed. They are:
            ${Object.keys(ROWS).join(", ")}`;

const { quick, only } = optionsOf(process.argv.slice(2));

const failures: string[] = [];
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => void exit(130));
const timer = setTimeout(() => void exit(1, "The bench took longer than 15 minutes."), TIME_LIMIT_MS);
await main().catch((error: unknown) => failures.push(String(error)));
clearTimeout(timer);
await exit(failures.length === 0 ? 0 : 1, failures.join("\n"));

async function main(): Promise<void> {
  spawnSync("taskset", ["-a", "-c", "-p", String(LOAD_CORE), String(process.pid)]);
  if (nginxVersion() === null) {
    print("NOTE: nginx is not installed (apt-get install nginx-light); nothing is compared with it.");
  }
  const bystanders = new Bystanders();
  const rows: Row[] = [];
  for (const [name, spec] of Object.entries(ROWS)) {
    if (only !== null && !only.has(name)) continue;
    if (!SHARING.has(name) && started !== undefined) await cleanUp();
    rows.push(await measured(name, spec));
  }
  const command = ["npm run bench", ...(quick || only !== null ? ["--", ...process.argv.slice(2)] : [])].join(
    " ",
  );
  const page = reportOf(rows, {
    command,
    date: new Date(),
    versions: versions(),
    bystanders: bystanders.share(),
  });
  if (!quick && only === null) writeFileSync(join(ROOT, "docs/benchmarks.md"), page);
  print(`\n${page}`);
}

async function measured(name: string, { work, target, run }: RowSpec): Promise<Row> {
  const row = await run(quick).catch((error: unknown) => {
    failures.push(`${name}: ${String(error)}`);
    return { reached: `failed: ${String(error)}`, met: false };
  });
  print(`${row.met === false ? "short" : "ok   "} ${work}: ${row.reached}   (target ${target})`);
  return { work, target, ...row };
}

function versions(): Record<string, string> {
  const packageSchema = z.object({ version: z.string() });
  const versionOf = (folder: string): string =>
    packageSchema.parse(JSON.parse(readFileSync(join(ROOT, folder, "package.json"), "utf8"))).version;
  return {
    poolkeeper: versionOf("."),
    workerd: versionOf("node_modules/workerd"),
    node: process.versions.node,
    nginx: nginxVersion() ?? "not installed",
    "@portkey-ai/gateway": "1.15.2",
  };
}

/** Prints how it is used and ends the process if the arguments are wrong, or ask for it. */
function optionsOf(args: string[]): { quick: boolean; only: ReadonlySet<string> | null } {
  const options = {
    quick: { type: "boolean", default: false },
    only: { type: "string" },
    help: { type: "boolean", short: "h", default: false },
  } as const;
  try {
    const given = parseArgs({ args, options }).values;
    if (given.help) {
      print(USAGE);
      process.exit(0);
    }
    const names = given.only?.split(",") ?? null;
    const unknown = names?.find((name) => !Object.hasOwn(ROWS, name));
    if (unknown !== undefined) throw new Error(`there is no row "${unknown}"`);
    return { quick: given.quick, only: names === null ? null : new Set(names) };
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n\n${USAGE}\n`);
    process.exit(2);
  }
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

async function exit(code: number, message = ""): Promise<never> {
  await cleanUp();
  if (message !== "") process.stderr.write(`${message}\n`);
  process.exit(code);
}
