import { spawn, type ChildProcess } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";

/** Processes under test, pinned to a core, with their CPU time; and everything that has to be undone at the end. */

/** The server under test has this core to itself; load and mocks have the other one. */
export const SERVER_CORE = 0;
export const LOAD_CORE = 1;

/** Resolution of the CPU times in /proc, in ticks per second; fixed at 100 on Linux. */
export const TICKS_PER_SECOND = 100;

const START_LIMIT_MS = 15_000;

const children = new Set<ChildProcess>();
const folders = new Set<string>();
/** CPU of the children that are gone. */
let spentMicros = 0;

export interface Server {
  readonly pid: number;
  readonly url: string;
  stop(): Promise<void>;
}

export interface Program {
  readonly command: readonly string[];
  readonly port: number;
  /** Anything that it answers here means that it is up. */
  readonly healthPath: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Told each line of standard output. */
  readonly onLine?: (line: string) => void;
}

/** Starts a program on the server's core and waits until it answers. BENCH_DEBUG in the environment shows its errors. */
export async function startServer({ command, port, healthPath, env, onLine }: Program): Promise<Server> {
  const child = spawn("taskset", ["-c", String(SERVER_CORE), ...command], {
    stdio: ["ignore", "pipe", process.env["BENCH_DEBUG"] === undefined ? "ignore" : "inherit"],
    env: { ...process.env, ...env },
  });
  children.add(child);
  createInterface({ input: child.stdout }).on("line", (line) => onLine?.(line));
  const failure = new Promise<Error>((resolve) => child.once("error", resolve));
  const url = `http://127.0.0.1:${port}`;
  const until = Date.now() + START_LIMIT_MS;
  while (Date.now() < until && child.exitCode === null && child.pid !== undefined) {
    const answers = await fetch(url + healthPath, { signal: AbortSignal.timeout(1000) }).then(
      (response) => response.arrayBuffer().then(() => true),
      () => false,
    );
    if (answers) return { pid: child.pid, url, stop: () => kill(child) };
    await sleep(50);
  }
  if (child.pid === undefined) throw await failure;
  await kill(child);
  throw new Error(`${command[0] ?? ""} does not answer on ${url}`);
}

/** User and system time of a process and its children since they started, in microseconds. */
export function cpuMicros(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const own = ((Number(fields[11]) + Number(fields[12])) * 1e6) / TICKS_PER_SECOND;
  return childPids(pid).reduce((sum, child) => sum + cpuMicros(child), own);
}

/** CPU of everything that the bench has started, in microseconds. */
export function childrenCpuMicros(): number {
  let sum = spentMicros;
  for (const { pid } of children) if (pid !== undefined) sum += cpuMicros(pid);
  return sum;
}

export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "poolkeeper-bench-"));
  folders.add(folder);
  return folder;
}

export async function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}

/** Ends every process and removes every folder that the bench has made. */
export async function cleanUp(): Promise<void> {
  await Promise.all([...children].map(kill));
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
  folders.clear();
}

/** SIGKILL to our own child: workerd ignores SIGTERM while sockets are open. A master's workers end with it. */
async function kill(child: ChildProcess): Promise<void> {
  if (!children.delete(child)) return;
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  spentMicros += cpuMicros(child.pid);
  const workers = childPids(child.pid);
  const gone = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGKILL");
  for (const pid of workers) process.kill(pid, "SIGKILL");
  await gone;
}

function childPids(pid: number): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim();
  return text === "" ? [] : text.split(" ").map(Number);
}
