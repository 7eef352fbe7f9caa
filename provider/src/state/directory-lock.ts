import { rmSync } from "node:fs";
import { uptime } from "node:os";
import { join } from "node:path";

import { z } from "zod";

import { UserError } from "../user-error.ts";
import { makeStateDirectory, parseJson, readIfThere, writeFileAtomically } from "./files.ts";

/** A lock file that lets only one process use a directory. */

const LOCK_FILE = "lock.json";

const lockSchema = z.object({ pid: z.int().positive(), booted_at: z.number() });

/**
 * Makes this process the only one that uses `directory`, until it calls the returned function or exits. Two providers with
 * one state directory would disconnect each other forever, each superseding the other's socket.
 * @param flag the option that names the directory, for the error message.
 * @throws UserError if another process holds the lock.
 */
export function lockDirectory(directory: string, flag = "--state"): () => void {
  makeStateDirectory(directory);
  const path = join(directory, LOCK_FILE);
  const holder = lockSchema.safeParse(parseJson(readIfThere(path) ?? ""));
  if (
    holder.success &&
    holder.data.pid !== process.pid &&
    isRunning(holder.data.pid, holder.data.booted_at)
  ) {
    throw new UserError(
      `Another provider (process ${holder.data.pid}) is using ${directory}. Stop it, or give this one its own ${flag} directory. If no provider is running, remove ${path}.`,
    );
  }
  if (locks.has(path)) return () => undefined;
  writeFileAtomically(path, JSON.stringify({ pid: process.pid, booted_at: bootedAt() }));
  locks.add(path);
  return () => {
    locks.delete(path);
    rmSync(path, { force: true });
  };
}

/** Locks that this process holds. State and downloads may share one directory. */
const locks = new Set<string>();

/** A pid identifies a process only until the next boot, because pids are reused. */
function isRunning(pid: number, since: number): boolean {
  if (Math.abs(since - bootedAt()) > 60_000) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (cause) {
    return cause instanceof Error && "code" in cause && cause.code === "EPERM";
  }
}

function bootedAt(): number {
  return Math.round(Date.now() - uptime() * 1000);
}
