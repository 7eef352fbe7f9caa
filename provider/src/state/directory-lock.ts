import { linkSync, renameSync, rmSync } from "node:fs";
import { uptime } from "node:os";
import { join } from "node:path";

import { z } from "zod";

import { reasonOf } from "../reason.ts";
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
  for (;;) {
    const text = readIfThere(path);
    const holder = text === null ? null : runningHolder(text);
    if (holder !== null) {
      throw new UserError(
        `Another provider (process ${holder}) is using ${directory}. Stop it, or give this one its own ${flag} directory. If no provider is running, remove ${path}.`,
      );
    }
    if (locks.has(path)) return () => undefined;
    if (text !== null) takeOver(path, text);
    else if (createLock(path)) break;
  }
  locks.add(path);
  return () => {
    locks.delete(path);
    rmSync(path, { force: true });
  };
}

/** Locks that this process holds. State and downloads may share one directory. */
const locks = new Set<string>();

/** The other process that holds a lock of these contents; null if that has ended. */
function runningHolder(text: string): number | null {
  const { data } = lockSchema.safeParse(parseJson(text));
  if (data === undefined || data.pid === process.pid) return null;
  return isRunning(data.pid, data.booted_at) ? data.pid : null;
}

/** @returns whether it is this process's: of several that start at once, one has it. @throws UserError */
function createLock(path: string): boolean {
  const own = `${path}.${process.pid}`;
  writeFileAtomically(own, JSON.stringify({ pid: process.pid, booted_at: bootedAt() }));
  try {
    return moveUnlessThere(own, path);
  } catch (cause) {
    throw new UserError(`Cannot write ${path}: ${reasonOf(cause)}.`, { cause });
  }
}

/**
 * Removes the lock of a process that has ended, if no other process is at it. It is read again first: whoever was at it before
 * may have removed it, and may have the lock now.
 */
function takeOver(path: string, text: string): void {
  const turn = `${path}.turn`;
  if (!createLock(turn)) {
    const other = readIfThere(turn);
    if (other !== null && runningHolder(other) === null) removeLeftover(turn, other);
    return;
  }
  try {
    if (readIfThere(path) === text) rmSync(path, { force: true });
  } catch (cause) {
    throw new UserError(`Cannot remove ${path}: ${reasonOf(cause)}.`, { cause });
  } finally {
    rmSync(turn, { force: true });
  }
}

/** Removes what a process has left that ended in its turn. If another process's is there by now, it is put back. */
function removeLeftover(path: string, text: string): void {
  const leftover = `${path}.${process.pid}`;
  try {
    renameSync(path, leftover);
    if (readIfThere(leftover) === text) rmSync(leftover);
    else moveUnlessThere(leftover, path);
  } catch (cause) {
    if (codeOf(cause) === "ENOENT") return;
    throw new UserError(`Cannot remove ${path}: ${reasonOf(cause)}.`, { cause });
  }
}

/** @returns whether it is there now; if another file was, `from` is removed. */
function moveUnlessThere(from: string, to: string): boolean {
  try {
    linkSync(from, to);
    return true;
  } catch (cause) {
    if (codeOf(cause) === "EEXIST") return false;
    // Disks of other systems, such as exFAT, have no links. There the last one wins.
    renameSync(from, to);
    return true;
  } finally {
    rmSync(from, { force: true });
  }
}

function codeOf(cause: unknown): unknown {
  return cause instanceof Error && "code" in cause ? cause.code : null;
}

/** A pid identifies a process only until the next boot, because pids are reused. */
function isRunning(pid: number, since: number): boolean {
  if (Math.abs(since - bootedAt()) > 60_000) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (cause) {
    return codeOf(cause) === "EPERM";
  }
}

function bootedAt(): number {
  return Math.round(Date.now() - uptime() * 1000);
}
