import { spawn } from "node:child_process";
import type { Readable } from "node:stream";

/** A program that serves a model, as a command of the shell in a process group of its own: started, and ended for certain. */
export interface ServerProcess {
  /** Resolves when it is gone by itself or was ended, with how it went, for people. */
  readonly gone: Promise<string>;
  /** The last lines that it has printed since its start, until `forget`. */
  lastWords(): readonly string[];
  /** From now on nothing of what it prints is kept: it might quote requests. */
  forget(): void;
  /** Asks the whole group to end, and ends it by force if that takes longer than `limitMs`. Safe to call twice. */
  end(limitMs: number): Promise<unknown>;
}

const LAST_LINES = 20;
const LAST_CHARS = 4000;
/** How long its last lines may take to arrive. */
const OUTPUT_LIMIT_MS = 250;
/** How often it is looked whether the last process of a group is gone. */
const GROUP_POLL_MS = 20;
/** Who is still there so long after SIGKILL holds no memory: it is dead, and its parent does not care. */
const KILL_LIMIT_MS = 5000;

/**
 * Ends the group when this program is gone, whatever it died of: the pipe that it reads breaks then. Two models in one
 * memory would be the alternative, after the next start.
 */
const WATCHDOG = 'cat >/dev/null; kill -s TERM -- "-$1"; sleep 5; kill -s KILL -- "-$1"';

/** @param env what the command finds in its environment beside ours. */
export function startServerProcess(command: string, env: Readonly<Record<string, string>>): ServerProcess {
  const child = spawn("/bin/sh", ["-c", command], {
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...env },
  });
  let words: string | null = "";
  const outputs = [child.stdout, child.stderr].map((output) =>
    readToEnd(output, (text) => {
      if (words !== null) words = (words + text).slice(-LAST_CHARS);
    }),
  );
  const gone = new Promise<string>((resolve) => {
    child.once("error", (error) => resolve(`it cannot be started: ${error.message}`));
    child.once("exit", (code, signal) => resolve(signal ?? `exit code ${String(code)}`));
  });
  const watchdog = watch(child.pid);
  let ending: Promise<unknown> | null = null;
  return {
    gone,
    lastWords: () =>
      (words ?? "")
        .split(/[\r\n]+/)
        .filter((line) => line !== "")
        .slice(-LAST_LINES),
    forget() {
      words = null;
    },
    end(limitMs) {
      ending ??= endGroup(child.pid, limitMs).then(() => {
        watchdog.dismiss();
        return Promise.race([Promise.all(outputs), later(OUTPUT_LIMIT_MS)]);
      });
      return ending;
    },
  };
}

/** In any case: a program whose pipe is full stands still. */
function readToEnd(output: Readable, onText: (text: string) => void): Promise<void> {
  return new Promise((resolve) => {
    output.setEncoding("utf8").on("data", onText).once("close", resolve);
  });
}

function watch(group: number | undefined): { dismiss(): void } {
  if (group === undefined) return { dismiss: () => undefined };
  const watchdog = spawn("/bin/sh", ["-c", WATCHDOG, "sh", String(group)], {
    // Else Ctrl-C would end it before what it is there for.
    detached: true,
    stdio: ["pipe", "ignore", "ignore"],
  });
  watchdog.on("error", () => undefined);
  watchdog.stdin.on("error", () => undefined);
  watchdog.unref();
  return { dismiss: () => void watchdog.kill("SIGKILL") };
}

async function endGroup(group: number | undefined, limitMs: number): Promise<void> {
  if (group === undefined) return;
  signalGroup(group, "SIGTERM");
  const askedAt = performance.now();
  while (signalGroup(group, 0)) {
    const overtimeMs = performance.now() - askedAt - limitMs;
    if (overtimeMs >= KILL_LIMIT_MS) return;
    if (overtimeMs >= 0) signalGroup(group, "SIGKILL");
    await later(GROUP_POLL_MS);
  }
}

/** @returns whether there is anybody left to get it. */
function signalGroup(group: number, signal: NodeJS.Signals | 0): boolean {
  try {
    process.kill(-group, signal);
    return true;
  } catch {
    return false;
  }
}

function later(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
