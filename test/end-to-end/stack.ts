import { fork, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import OpenAI from "openai";

import { AdminClient } from "../../scripts/admin-client.ts";
import { ROOT } from "../../scripts/root.ts";

/** The whole product as processes: `npm start -- --no-demo` and provider programs, for tests that kill them. */

interface DevFile {
  readonly base_url: string;
  readonly api_key: string;
  readonly admin_token: string;
  readonly provider_token: string;
}

/** Polls until `probe` gives a value; the test's own time-out ends it. */
export async function until<T>(
  probe: () => T | null | undefined | Promise<T | null | undefined>,
): Promise<T> {
  for (;;) {
    const value = await probe();
    if (value !== null && value !== undefined) return value;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

export class Stack {
  readonly dir = mkdtempSync(join(tmpdir(), "poolkeeper-"));
  readonly #children = new Set<ChildProcess>();
  #coordinator: ChildProcess | null = null;
  #port = 0;
  #dev: DevFile | null = null;

  get dev(): DevFile {
    if (this.#dev === null) throw new Error("the coordinator was not started");
    return this.#dev;
  }

  get url(): string {
    return this.dev.base_url.replace(/\/v1$/, "");
  }

  /** Starts the coordinator; a second time on the same port and state. */
  async startCoordinator(): Promise<void> {
    rmSync(join(this.dir, "dev.json"), { force: true });
    const args = ["scripts/start.ts", "--no-demo", "--port", String(this.#port), "--state", this.dir];
    const child = spawn(process.execPath, args, {
      cwd: ROOT,
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#children.add(child);
    this.#coordinator = child;
    let output = "";
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (chunk) => (output += String(chunk)));
    this.#dev = await until(() => {
      if (child.exitCode !== null) throw new Error(`the coordinator ended:\n${output}`);
      const path = join(this.dir, "dev.json");
      return existsSync(path) ? (JSON.parse(readFileSync(path, "utf8")) as DevFile) : null;
    });
    this.#port = Number(new URL(this.dev.base_url).port);
  }

  /** Ends the coordinator and its workerd without a chance to say goodbye. */
  async killCoordinator(): Promise<void> {
    const child = this.#coordinator;
    if (child?.pid === undefined) throw new Error("no coordinator to kill");
    const ended = once(child, "exit");
    process.kill(-child.pid, "SIGKILL");
    await ended;
    this.#children.delete(child);
  }

  get admin(): AdminClient {
    return new AdminClient(this.url, this.dev.admin_token);
  }

  client(options: { maxRetries?: number } = {}): OpenAI {
    return new OpenAI({ baseURL: this.dev.base_url, apiKey: this.dev.api_key, maxRetries: 0, ...options });
  }

  /** Starts a provider program and waits until it serves. */
  async startProvider(
    machineId: string,
    model: string,
    extra: readonly string[] = [],
  ): Promise<ChildProcess> {
    const file = join(ROOT, "models", `${model}.gguf`);
    const args = ["--coordinator", this.url, "--model", `${model}=${file}`, "--machine-id", machineId];
    args.push(
      "--state",
      join(this.dir, machineId),
      "--context",
      "1024",
      "--threads",
      "1",
      "--json",
      ...extra,
    );
    const child = fork(join(ROOT, "provider/src/main.ts"), args, {
      env: { ...process.env, POOLKEEPER_PROVIDER_TOKEN: this.dev.provider_token },
      stdio: ["ignore", "pipe", "pipe", "ipc"],
    });
    this.#children.add(child);
    let output = "";
    for (const stream of [child.stdout, child.stderr])
      stream?.on("data", (chunk) => (output += String(chunk)));
    await until(() => {
      if (child.exitCode !== null || child.signalCode !== null)
        throw new Error(`the provider ended:\n${output}`);
      return output.includes('"message":"serving"') || null;
    });
    return child;
  }

  /** Ends everything that was started and removes the state. */
  async stop(): Promise<void> {
    for (const child of this.#children) {
      if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) continue;
      const ended = once(child, "exit");
      if (child === this.#coordinator) process.kill(-child.pid, "SIGKILL");
      else child.kill("SIGKILL");
      await ended;
    }
    rmSync(this.dir, { recursive: true, force: true });
  }
}
