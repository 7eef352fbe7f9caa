import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const MAIN = fileURLToPath(new URL("../../provider/src/main.ts", import.meta.url));
/** For the engine's process as well. */
const NODE_OPTIONS = `--import=${new URL("as-node-20.ts", import.meta.url).href}`;

export interface LogLine {
  readonly level: string;
  readonly message: string;
  readonly [field: string]: unknown;
}

/** The provider program as its owner runs it, with a state directory of its own, and with what Node 20 has. */
export class ProviderProcess {
  readonly stateDirectory: string;
  readonly exited: Promise<{ code: number | null; signal: string | null }>;
  /** What it logged so far, if it was started with `--json`. */
  readonly log: LogLine[] = [];
  stdout = "";
  stderr = "";
  readonly #child: ChildProcess;
  readonly #ownsState: boolean;
  readonly #waiting: { message: string; resolve: (line: LogLine) => void }[] = [];
  #rest = "";

  /** @param log a file descriptor that takes its output, which then nobody reads */
  constructor(
    argv: readonly string[],
    env: Readonly<Record<string, string>> = {},
    stateDirectory?: string,
    log: "pipe" | number = "pipe",
  ) {
    this.#ownsState = stateDirectory === undefined;
    this.stateDirectory = stateDirectory ?? mkdtempSync(join(tmpdir(), "provider-"));
    const { POOLKEEPER_COORDINATOR: _, POOLKEEPER_PROVIDER_TOKEN: __, ...inherited } = process.env;
    const args = [MAIN, ...argv, "--state", this.stateDirectory];
    this.#child = spawn(process.execPath, args, {
      env: { ...inherited, NODE_OPTIONS, ...env },
      stdio: ["ignore", log, "pipe"],
    });
    this.#child.stdout?.setEncoding("utf8").on("data", (text: string) => this.#onOutput(text));
    this.#child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.stderr += text;
    });
    this.exited = new Promise((resolve) => {
      this.#child.on("close", (code, signal) => resolve({ code, signal }));
    });
  }

  /** The first line with this message, also one that was logged before. */
  logged(message: string): Promise<LogLine> {
    const known = this.log.find((line) => line.message === message);
    if (known !== undefined) return Promise.resolve(known);
    return new Promise((resolve) => this.#waiting.push({ message, resolve }));
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Stops reading its output. */
  closeOutput(): void {
    this.#child.stdout?.destroy();
  }

  /** Closes its output and tells it so, as a terminal does that is closed. */
  hangUp(): void {
    this.closeOutput();
    this.#child.kill("SIGHUP");
  }

  /** Ends the process if it is still there, and removes what it left on disk. */
  async dispose(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.exited;
    if (this.#ownsState) rmSync(this.stateDirectory, { recursive: true, force: true });
  }

  #onOutput(text: string): void {
    this.stdout += text;
    const lines = `${this.#rest}${text}`.split("\n");
    this.#rest = lines.pop() ?? "";
    for (const json of lines) {
      if (!json.startsWith("{")) continue;
      const line = JSON.parse(json) as LogLine;
      this.log.push(line);
      for (const { message, resolve } of this.#waiting) if (message === line.message) resolve(line);
    }
  }
}
