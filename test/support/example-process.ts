import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import type { Heartbeat } from "../../protocol/upstream.ts";

const EXAMPLE = fileURLToPath(new URL("../../examples/provider.mjs", import.meta.url));

interface Kept {
  readonly machine_id: string;
  readonly public_key: string;
  readonly assignment: Heartbeat["assignment"];
}

/** The example of a provider as a process, which may be started several times on one state file. */
export class ExampleProcess {
  readonly #dir = mkdtempSync(join(tmpdir(), "example-"));
  readonly #args: readonly string[];
  readonly #token: string;
  #run: Run | null = null;

  constructor(url: string, token: string, models: readonly string[]) {
    this.#args = [EXAMPLE, url, join(this.#dir, "state.json"), ...models];
    this.#token = token;
  }

  start(): void {
    this.#run = run(this.#args, this.#token);
  }

  /** What it keeps across starts. */
  get kept(): Kept {
    return JSON.parse(readFileSync(join(this.#dir, "state.json"), "utf8")) as Kept;
  }

  /** What it has printed since its last start. */
  get output(): string {
    return this.#running().output();
  }

  /** Of its last start. */
  get exited(): Promise<number | NodeJS.Signals | null> {
    return this.#running().exited;
  }

  signal(signal: NodeJS.Signals): void {
    this.#running().kill(signal);
  }

  /** Ends the process if it is still there, and removes what it left on disk. */
  async dispose(): Promise<void> {
    if (this.#run !== null) {
      this.signal("SIGKILL");
      await this.exited;
    }
    rmSync(this.#dir, { recursive: true, force: true });
  }

  #running(): Run {
    if (this.#run === null) throw new Error("the example was not started");
    return this.#run;
  }
}

type Run = ReturnType<typeof run>;

function run(args: readonly string[], token: string) {
  const child = spawn(process.execPath, args, {
    env: { ...process.env, POOLKEEPER_PROVIDER_TOKEN: token },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => (output += text));
  }
  const exited = new Promise<number | NodeJS.Signals | null>((resolve) => {
    child.on("close", (code, signal) => resolve(code ?? signal));
  });
  return { exited, output: () => output, kill: (signal: NodeJS.Signals) => child.kill(signal) };
}
