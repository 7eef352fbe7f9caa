import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { z } from "zod";

import { ROOT } from "../scripts/root.ts";
import { reportOf } from "./report.ts";
import {
  BLAST,
  capacity,
  CHAT,
  compare,
  firstByte,
  idle,
  messages,
  PACED,
  productTarget,
  type Row,
  type Targets,
  WORKS,
  writes,
} from "./rows.ts";
import { startCoordinator } from "./support/coordinator.ts";
import { startUpstream } from "./support/mock-upstream.ts";
import { cleanUp, freePort, LOAD_CORE } from "./support/processes.ts";
import { nginxVersion, startNginx, startPortkey } from "./support/references.ts";

/**
 * `npm run bench`: measures Poolkeeper beside nginx and Portkey's gateway, and writes docs/benchmarks.md.
 * `--quick` shortens every row, `--only NAME` runs one; neither writes the page.
 */

const quick = process.argv.includes("--quick");
const onlyAt = process.argv.indexOf("--only");
const only = onlyAt < 0 ? null : process.argv[onlyAt + 1];
const seconds = quick ? 1.5 : 3;

const SHARED: Record<string, (targets: Targets) => Promise<Row>> = {
  chat: (targets) =>
    compare(
      targets,
      { name: "non-stream chat, CPU per request", work: CHAT, concurrency: 32, unit: "request" },
      { portkey: 0.4, nginx: 7 },
      seconds,
    ),
  paced: (targets) =>
    compare(
      targets,
      {
        name: "100 streams at 50 tokens/s, default flush, CPU per token",
        work: PACED,
        concurrency: 100,
        unit: "token",
      },
      { portkey: 0.4, nginx: 2 },
      seconds,
    ),
  blast: (targets) =>
    compare(
      targets,
      {
        name: "32 streams at full speed, 10 tokens per record, CPU per token",
        work: BLAST,
        concurrency: 32,
        unit: "token",
      },
      { portkey: 0.6, nginx: null },
      seconds,
    ),
  "first-byte": (targets) => firstByte(targets, quick ? 100 : 500),
  capacity,
};
const ALONE: Record<string, () => Promise<Row>> = { messages, writes, idle: () => idle(quick ? 1000 : 9500) };

const failures: string[] = [];
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => void stop(130));
const timer = setTimeout(() => void stop(1, "The bench took longer than 6 minutes."), 360_000);
try {
  await main();
} catch (error) {
  failures.push(String(error));
}
clearTimeout(timer);
await stop(failures.length === 0 ? 0 : 1, failures.join("\n"));

async function main(): Promise<void> {
  const names = [...Object.keys(SHARED), ...Object.keys(ALONE)];
  if (only !== null && (only === undefined || !names.includes(only))) {
    throw new Error(`--only takes one of ${names.join(", ")}`);
  }
  spawnSync("taskset", ["-a", "-c", "-p", String(LOAD_CORE), String(process.pid)]);
  const wanted = (name: string): boolean => only === null || only === name;
  const rows: Row[] = [];
  const add = async (name: string, run: () => Promise<Row>): Promise<void> => {
    if (!wanted(name)) return;
    const row = await run().catch((error: unknown): Row => {
      failures.push(`${name}: ${String(error)}`);
      return { work: name, target: "", reached: `FAILED: ${String(error)}`, met: false };
    });
    rows.push(row);
    print(`${row.met === false ? "short" : "ok   "} ${row.work}: ${row.reached}   (target ${row.target})`);
  };
  if (Object.keys(SHARED).some(wanted)) {
    const targets = await startTargets();
    for (const [name, run] of Object.entries(SHARED)) await add(name, () => run(targets));
  }
  await cleanUp();
  for (const [name, run] of Object.entries(ALONE)) await add(name, run);
  const page = reportOf(rows, "npm run bench", versions(), new Date());
  if (!quick && only === null) writeFileSync(join(ROOT, "docs/benchmarks.md"), page);
  print(`\n${page}`);
}

async function startTargets(): Promise<Targets> {
  const upstreamPort = await freePort();
  await startUpstream(upstreamPort);
  const coordinator = await startCoordinator(WORKS);
  await coordinator.connect(8, 256);
  const portkey = await startPortkey();
  const nginx = nginxVersion() === null ? null : await startNginx(upstreamPort);
  if (nginx === null) print("NOTE: nginx is not installed; the comparisons with it are left out.");
  const portkeyHeaders = {
    "x-portkey-provider": "openai",
    "x-portkey-custom-host": `http://127.0.0.1:${upstreamPort}/v1`,
    authorization: "Bearer none",
  };
  return {
    direct: { name: "the mock", url: `http://127.0.0.1:${upstreamPort}`, pid: null, headers: {} },
    product: productTarget(coordinator),
    nginx: nginx === null ? null : { name: "nginx", ...nginx, headers: {} },
    portkey: { name: "Portkey", ...portkey, headers: portkeyHeaders },
  };
}

function versions(): Record<string, string> {
  const packageSchema = z.object({ version: z.string() });
  const of = (path: string): string =>
    packageSchema.parse(JSON.parse(readFileSync(join(ROOT, path, "package.json"), "utf8"))).version;
  return {
    poolkeeper: of("."),
    workerd: of("node_modules/workerd"),
    node: process.versions.node,
    nginx: nginxVersion() ?? "not installed",
    "@portkey-ai/gateway": "1.15.2 (with @hono/node-server 1.13.8)",
  };
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

async function stop(code: number, message = ""): Promise<never> {
  await cleanUp();
  if (message !== "") process.stderr.write(`${message}\n`);
  process.exit(code);
}
