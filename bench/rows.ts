import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { startCoordinator, type Coordinator } from "./support/coordinator.ts";
import { chat, load, quantile, type Answer, type Target } from "./support/load.ts";
import { cpuMicros } from "./support/processes.ts";
import type { Work } from "./support/work.ts";

/** The rows of the table. Each throws if any answer was not a complete 200. */

export const CHAT: Work = { tokens: 0, intervalMs: 0 };
export const PACED: Work = { tokens: 200, intervalMs: 20 };
export const BLAST: Work = { tokens: 1000, intervalMs: 0 };
export const SHORT: Work = { tokens: 1, intervalMs: 0 };
export const WORKS = [CHAT, PACED, BLAST, SHORT];

export interface Row {
  readonly work: string;
  readonly target: string;
  readonly reached: string;
  /** Null if there was nothing to compare with. */
  readonly met: boolean | null;
}

export interface Targets {
  readonly direct: Target;
  readonly product: Target;
  readonly nginx: Target | null;
  readonly portkey: Target;
}

/** CPU of the server in microseconds per unit of work, the answers' sizes being counted in `units`. */
async function cpuPerUnit(
  target: Target,
  run: (seconds: number) => Promise<Answer[]>,
  seconds: number,
): Promise<number> {
  const { pid } = target;
  if (pid === null) throw new Error(`${target.name} has no process`);
  await run(0.7);
  const before = cpuMicros(pid);
  const answers = await run(seconds);
  const units = answers.reduce((sum, { tokens }) => sum + Math.max(1, tokens), 0);
  return (cpuMicros(pid) - before) / units;
}

/** One row against all three: `maxOfPortkey` and `maxOfNginx` are the targets as ratios, null for none. */
export async function compare(
  targets: Targets,
  row: { readonly name: string; readonly work: Work; readonly concurrency: number; readonly unit: string },
  limits: { readonly portkey: number; readonly nginx: number | null },
  seconds: number,
): Promise<Row> {
  const measure = (target: Target): Promise<number> =>
    cpuPerUnit(target, (time) => load(target, row.work, row.concurrency, time), seconds);
  const product = await measure(targets.product);
  const portkey = await measure(targets.portkey);
  const nginx = targets.nginx === null ? null : await measure(targets.nginx);
  const ofPortkey = product / portkey;
  const ofNginx = nginx === null ? null : product / nginx;
  const nginxTarget = limits.nginx === null ? "" : `, ${limits.nginx} times nginx's`;
  const nginxReached =
    nginx === null || ofNginx === null
      ? "nginx is not installed: not compared"
      : `${ofNginx.toFixed(1)} times nginx's (${nginx.toFixed(1)} µs)`;
  return {
    work: row.name,
    target: `at most ${limits.portkey} of Portkey's${nginxTarget}`,
    reached: `${product.toFixed(1)} µs per ${row.unit}: ${ofPortkey.toFixed(2)} of Portkey's (${portkey.toFixed(1)} µs), ${nginxReached}`,
    met:
      ofPortkey <= limits.portkey && (limits.nginx === null || ofNginx === null || ofNginx <= limits.nginx),
  };
}

/** The most streams, of those tried, whose slowest percent ends within 500 ms of the mock's schedule. */
export async function capacity(targets: Targets): Promise<Row> {
  const limitMs = 500;
  let held = 0;
  const tried: string[] = [];
  for (const streams of [400, 800, 1000]) {
    const answers = await Promise.all(
      Array.from({ length: streams }, async (_, index) => {
        await sleep(index); // Clients do not come all at once.
        return chat(targets.product, PACED);
      }),
    );
    const idealMs = (PACED.tokens - 1) * PACED.intervalMs;
    const lagMs = quantile(
      answers.map(({ totalMs }) => totalMs - idealMs),
      0.99,
    );
    tried.push(`${streams}: ${lagMs.toFixed(0)} ms`);
    if (lagMs > limitMs) break;
    held = streams;
  }
  return {
    work: "streams at 50 tokens/s that one pool holds on one core without falling behind",
    target: "at least 800",
    reached: `${held} (p99 lag at the end of a stream: ${tried.join(", ")})`,
    met: held >= 800,
  };
}

export async function firstByte(targets: Targets, chats: number): Promise<Row> {
  const median = async (target: Target): Promise<number> => {
    const times: number[] = [];
    for (let i = 0; i < chats; i++) times.push((await chat(target, SHORT)).firstByteMs);
    return quantile(times.slice(chats / 5), 0.5);
  };
  const direct = await median(targets.direct);
  const product = (await median(targets.product)) - direct;
  const portkey = (await median(targets.portkey)) - direct;
  const nginx = targets.nginx === null ? null : (await median(targets.nginx)) - direct;
  const others = `Portkey ${portkey.toFixed(2)} ms, nginx ${nginx === null ? "not installed" : `${nginx.toFixed(2)} ms`}`;
  return {
    work: "added time to first byte at concurrency 1, p50",
    target: "at most 1 ms over calling the mock directly",
    reached: `${product.toFixed(2)} ms (${others})`,
    met: product <= 1,
  };
}

/** Idle sockets. The pool sleeps after 10 s; that it did is not visible from outside, so the wait is longer. */
export async function idle(sockets: number): Promise<Row> {
  const coordinator = await startCoordinator(WORKS);
  const startedAt = performance.now();
  const providers = await coordinator.connect(sockets, 4);
  const dialedS = (performance.now() - startedAt) / 1000;
  await sleep(13_000);
  const open = providers.filter(({ isOpen }) => isOpen).length;
  const target = productTarget(coordinator);
  const cold = await chat(target, CHAT);
  const warm = await chat(target, CHAT);
  for (const provider of providers) provider.close();
  await coordinator.stop();
  return {
    work: "idle machine sockets in one pool; first answer after hibernation with them",
    target: "9,500; at most 100 ms",
    reached: `${open} (dialed in ${dialedS.toFixed(0)} s); ${cold.totalMs.toFixed(0)} ms (the next one ${warm.totalMs.toFixed(0)} ms)`,
    met: open >= 9500 && cold.totalMs <= 100,
  };
}

export async function messages(): Promise<Row> {
  const coordinator = await startCoordinator(WORKS);
  const [provider] = await coordinator.connect(1, 4);
  if (provider === undefined) throw new Error("no machine");
  const before = provider.sent;
  const answers = await load(productTarget(coordinator), PACED, 4, 0);
  const tokens = answers.reduce((sum, answer) => sum + answer.tokens, 0);
  const per100 = ((provider.sent - before) * 100) / tokens;
  provider.close();
  await coordinator.stop();
  return {
    work: "messages on the provider socket per 100 generated tokens at 50 tokens/s, 4 streams on one machine",
    target: "at most 15",
    reached: `${per100.toFixed(1)}, acceptances and completions included`,
    met: per100 <= 15,
  };
}

/** Counts changes of the pool's SQLite files, looked at every 10 ms: while chats run just after a flush, and after. */
export async function writes(): Promise<Row> {
  const coordinator = await startCoordinator(WORKS);
  const [provider] = await coordinator.connect(1, 64);
  const target = productTarget(coordinator);
  const seen = { changes: 0 };
  let last = signature(coordinator);
  const watch = setInterval(() => {
    const next = signature(coordinator);
    if (next !== last) seen.changes += 1;
    last = next;
  }, 10);
  await chat(target, CHAT);
  const flushed = async (): Promise<number> => {
    const before = seen.changes;
    for (let waited = 0; waited < 12_000 && seen.changes === before; waited += 10) await sleep(10);
    await sleep(100);
    return seen.changes - before;
  };
  const first = await flushed();
  const before = seen.changes;
  const answers = await load(target, CHAT, 16, 4);
  const during = seen.changes - before;
  const after = await flushed();
  clearInterval(watch);
  provider?.close();
  await coordinator.stop();
  if (first === 0 || after === 0) throw new Error("the flush was not seen");
  return {
    work: "committed SQLite writes on the path of a request",
    target: "0 (buffered, flushed in one transaction)",
    reached: `${during} changes of the pool's database files in 4 s with ${answers.length} requests, then ${after} at the flush`,
    met: during === 0,
  };
}

export function productTarget(coordinator: Coordinator): Target {
  const { url, pid, apiKey } = coordinator;
  return { name: "Poolkeeper", url, pid, headers: { authorization: `Bearer ${apiKey}` } };
}

/** Sizes and times of the pool's files: SQLite cannot commit without changing one. */
function signature({ storage }: Coordinator): string {
  const folder = join(storage, "ModelPool");
  return readdirSync(folder)
    .map((file) => {
      const stat = statSync(join(folder, file), { bigint: true, throwIfNoEntry: false });
      return `${file} ${stat?.size} ${stat?.mtimeNs}`;
    })
    .join("\n");
}
