import { spawn } from "node:child_process";
import { createInterface } from "node:readline";

/** A program that serves a model, as a command of the shell in a process group of its own: started, and ended for certain. */
export interface ServerProcess {
  /** Resolves when it is gone by itself or was ended, with how it went, for people. */
  readonly gone: Promise<string>;
  /** The last lines that it has printed since its start, until `forget`. */
  lastWords(): readonly string[];
  /** From now on nothing of what it prints is kept: it might quote requests. */
  forget(): void;
  /** Asks the whole group to end, and ends it by force if that takes longer than `limitMs`. */
  end(limitMs: number): Promise<unknown>;
}

const LAST_LINES = 20;
const LINE_CHARS = 300;
/** How long its last lines may take to arrive. */
const OUTPUT_LIMIT_MS = 250;
/** How often it is looked whether the last process of a group is gone. */
const GROUP_POLL_MS = 20;

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
  let lines: string[] | null = [];
  const outputs = [child.stdout, child.stderr].map(
    (output) =>
      new Promise<void>((resolve) => {
        // Read to the end in any case: a program whose pipe is full stands still.
        createInterface({ input: output })
          .on("line", (line) => {
            lines?.push(line.slice(0, LINE_CHARS));
            if (lines !== null && lines.length > LAST_LINES) lines.shift();
          })
          .once("close", resolve);
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
    lastWords: () => lines ?? [],
    forget() {
      lines = null;
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
  const until = performance.now() + limitMs;
  while (signalGroup(group, 0)) {
    if (performance.now() >= until) signalGroup(group, "SIGKILL");
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
