import { existsSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import type { Log } from "./agent/ports.ts";
import { runProgram, type RunProgram } from "./hardware.ts";
import { reasonOf } from "./reason.ts";
import { knownMachineId } from "./state/identity.ts";
import { UserError } from "./user-error.ts";

/**
 * Whether this machine's owner wants it for themselves right now: said by hand (`poolkeeper-provider pause`), or by a rule that was
 * given at the start. It then serves its owner only, keeps its model, and is back at once when the reason has gone.
 */

export interface ReservationRules {
  readonly onBattery: boolean;
  /** In use means touched within so many minutes; null if that is no reason. */
  readonly whileUsedMinutes: number | null;
}

const PAUSE_FILE = "paused";
const INTERVAL_MS = 5_000;

/** From now on, and over restarts, the program that uses this state directory serves its owner only. @throws UserError */
export function pause(stateDirectory: string): void {
  checkIsOfMachine(stateDirectory);
  try {
    writeFileSync(join(stateDirectory, PAUSE_FILE), "");
  } catch (cause) {
    throw new UserError(`Cannot pause the machine of ${stateDirectory}: ${reasonOf(cause)}.`, { cause });
  }
}

/** @returns whether it was paused. @throws UserError */
export function resume(stateDirectory: string): boolean {
  checkIsOfMachine(stateDirectory);
  const path = join(stateDirectory, PAUSE_FILE);
  const wasPaused = existsSync(path);
  try {
    rmSync(path, { force: true });
  } catch (cause) {
    throw new UserError(`Cannot resume the machine of ${stateDirectory}: ${reasonOf(cause)}.`, { cause });
  }
  return wasPaused;
}

/** Whoever has forgotten `--state` must not take the machine of another directory for paused, or for one that serves. */
function checkIsOfMachine(stateDirectory: string): void {
  if (knownMachineId(stateDirectory) !== null) return;
  throw new UserError(
    `No machine has been started with the state directory ${stateDirectory}. Give the --state that it was started with.`,
  );
}

/**
 * Reads why the machine serves its owner only; null if it serves everybody. A rule that cannot be read, as on Linux, keeps
 * nobody away, which the owner is warned of once.
 */
export function createReservationReader(
  stateDirectory: string,
  { onBattery, whileUsedMinutes }: ReservationRules,
  log: Pick<Log, "warn">,
  run: RunProgram = runProgram,
): () => Promise<string | null> {
  const warned = new Set<string>();
  const warnOnce = (flag: string, unknown: string): void => {
    if (warned.has(flag)) return;
    warned.add(flag);
    log.warn(`${flag} has no effect while this machine does not say ${unknown}; it serves everybody`);
  };
  const isOnBattery = async (): Promise<boolean> => {
    const source = powerSourceOf((await run("/usr/bin/pmset", ["-g", "batt"])) ?? "");
    if (source === null) warnOnce("--not-on-battery", "whether it runs on battery");
    return source === "Battery Power" || source === "UPS Power";
  };
  const isUsed = async (withinMinutes: number): Promise<boolean> => {
    const idleMs = idleMsOf((await run("/usr/sbin/ioreg", ["-r", "-d", "1", "-c", "IOHIDSystem"])) ?? "");
    if (idleMs === null) warnOnce("--not-while-used", "when it was used last");
    return idleMs !== null && idleMs < withinMinutes * 60_000;
  };
  return async () => {
    if (existsSync(join(stateDirectory, PAUSE_FILE))) return "paused";
    if (onBattery && (await isOnBattery())) return "on battery";
    return whileUsedMinutes !== null && (await isUsed(whileUsedMinutes)) ? "in use" : null;
  };
}

/** Reads `Now drawing from 'Battery Power'`. */
function powerSourceOf(printed: string): string | null {
  return /drawing from '([^']+)'/.exec(printed)?.[1] ?? null;
}

/** Reads `"HIDIdleTime" = 1234567890`, nanoseconds since somebody has touched keyboard, mouse or trackpad. */
function idleMsOf(printed: string): number | null {
  const digits = /"HIDIdleTime"\s*=\s*(\d+)/.exec(printed)?.[1];
  return digits === undefined ? null : Number(digits) / 1e6;
}

/** Tells again and again, also what it has told before. @returns stops it. */
export function watchReservation(
  read: () => Promise<string | null>,
  tell: (because: string | null) => void,
): () => void {
  let isReading = false;
  let isStopped = false;
  const look = async (): Promise<void> => {
    // A Mac under pressure answers slowly; programs must not pile up then.
    if (isReading) return;
    isReading = true;
    const because = await read();
    isReading = false;
    if (!isStopped) tell(because);
  };
  void look();
  const timer = setInterval(() => void look(), INTERVAL_MS);
  timer.unref();
  return () => {
    isStopped = true;
    clearInterval(timer);
  };
}
