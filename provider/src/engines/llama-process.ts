import { type ChildProcess, fork } from "node:child_process";
import { extname } from "node:path";
import { createInterface } from "node:readline";

import { type Command, type Report, reportSchema } from "./llama-messages.ts";

/** The child process of one model: started, spoken to, and ended for certain. */
export interface LlamaProcess {
  send(command: Command): void;
  /** Asks it to free its memory and end, and ends it by force if that takes longer than `limitMs`. */
  end(limitMs: number): Promise<void>;
  kill(): void;
  /** Resolves when the process is gone, with how it went. */
  readonly gone: Promise<ProcessEnd>;
}

export interface ProcessEnd {
  /** For people, for example `SIGABRT: GGML_ASSERT(...) failed`. */
  readonly description: string;
}

const STDERR_TAIL_LINES = 8;
/** Lines of a crash that llama.cpp prints itself. Others may quote a request, such as a grammar that did not parse. */
const CRASH_LINE = /GGML_|ggml_|terminate called|libc\+\+abi|Metal|out of memory/i;
/** How long the last lines of a process may take to arrive after its end. */
const STDERR_LIMIT_MS = 250;

/** Next to this file, and written in the same language: TypeScript in the repository, JavaScript in the published bundle. */
function childPath(): URL {
  return new URL(`./llama-child${extname(new URL(import.meta.url).pathname)}`, import.meta.url);
}

export function startLlamaProcess(onReport: (report: Report) => void): LlamaProcess {
  const child = fork(childPath(), [], {
    serialization: "advanced",
    stdio: ["ignore", "ignore", "pipe", "ipc"],
    // Options of the parent, such as a debugger's port, are not meant for it.
    execArgv: [],
    // On a failed assertion ggml would attach a debugger to itself, which takes seconds.
    env: { ...process.env, GGML_NO_BACKTRACE: "1" },
  });
  const stderr = collectCrashLines(child);
  const gone = new Promise<ProcessEnd>((resolve) => {
    child.once("error", (error) => resolve({ description: `cannot be started: ${error.message}` }));
    child.once("exit", (code, signal) => {
      const how = signal ?? `exit code ${String(code)}`;
      resolve(stderr.closed.then(() => ({ description: [how, ...stderr.lines].join(": ").slice(0, 1500) })));
    });
  });
  child.on("message", (message) => onReport(reportSchema.parse(message)));
  // Sending to a process that has just ended fails here too; `gone` tells it better.
  child.on("error", () => undefined);
  return {
    gone,
    send(command) {
      if (child.connected) child.send(command, () => undefined);
    },
    async end(limitMs) {
      const force = setTimeout(() => child.kill("SIGKILL"), limitMs);
      this.send({ type: "dispose" });
      await gone;
      clearTimeout(force);
    },
    kill: () => void child.kill("SIGKILL"),
  };
}

function collectCrashLines(child: ChildProcess): {
  readonly lines: readonly string[];
  readonly closed: Promise<void>;
} {
  const lines: string[] = [];
  if (child.stderr === null) return { lines, closed: Promise.resolve() };
  const reader = createInterface({ input: child.stderr });
  reader.on("line", (line) => {
    if (!CRASH_LINE.test(line)) return;
    // Assertions name the source file with the path it had on the machine that compiled it.
    lines.push(line.replace(/^\/\S*\//, "").slice(0, 300));
    if (lines.length > STDERR_TAIL_LINES) lines.shift();
  });
  const closed = new Promise<void>((resolve) => {
    reader.once("close", resolve);
    child.once("exit", () => setTimeout(resolve, STDERR_LIMIT_MS).unref());
  });
  return { lines, closed };
}
