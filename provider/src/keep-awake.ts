import { spawn } from "node:child_process";

/**
 * Keeps a Mac from falling asleep for as long as this process runs, also if that is killed.
 * @param onMainsOnly what is its owner's alone on battery has nothing to stay awake for there.
 * @returns how to end it.
 */
export function keepAwake(onMainsOnly: boolean): () => void {
  if (process.platform !== "darwin") return () => {};
  const child = spawn("/usr/bin/caffeinate", caffeinateArguments(onMainsOnly, process.pid), {
    stdio: "ignore",
  });
  // Without it the Mac may fall asleep, which is no reason not to serve.
  child.on("error", () => {});
  child.unref();
  return () => child.kill();
}

/** macOS heeds `-s` on mains only, and `-i` on battery as well. */
export function caffeinateArguments(onMainsOnly: boolean, pid: number): string[] {
  return [onMainsOnly ? "-s" : "-i", "-w", String(pid)];
}
