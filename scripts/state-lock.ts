import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

import { z } from "zod";

import { parseJson, readIfPresent } from "./state-files.ts";
import { UserError } from "./user-error.ts";

/**
 * Two coordinators must not share one folder of SQLite files. The lock is the system's, taken through an empty SQLite file
 * of its own: it is there from the first moment on, and goes with its process however that ends, so that none is ever
 * left behind.
 */

const LOCK_FILE = "start.lock";
/** Only to be named in the message: what it says counts while the lock is held. */
const PID_FILE = "start.pid";
/** Says where the coordinator serves; written once it does. */
const ADDRESS_FILE = "dev.json";

/**
 * Makes this process the only one that uses the folder, until the returned function is called or the process ends.
 * @throws UserError if another one does, or if nothing can be written there.
 */
export async function lockState(stateDir: string): Promise<() => void> {
  const lock = openLock(stateDir);
  try {
    lock.exec("BEGIN EXCLUSIVE");
  } catch (error) {
    lock.close();
    if (!isBusy(error)) throw error;
    throw runsAlready(stateDir, addressIn(stateDir), readIfPresent(join(stateDir, PID_FILE)));
  }
  // A coordinator that has outlived the process that started it holds no lock, but serves.
  const address = addressIn(stateDir);
  if (address !== null && (await answers(address))) throw outlived(stateDir, address);
  // Left by one that was killed: until this one serves there is no address to name.
  rmSync(join(stateDir, ADDRESS_FILE), { force: true });
  writeFileSync(join(stateDir, PID_FILE), String(process.pid));
  return () => {
    rmSync(join(stateDir, PID_FILE), { force: true });
    lock.close();
  };
}

function openLock(stateDir: string): DatabaseSync {
  try {
    return new DatabaseSync(join(stateDir, LOCK_FILE), { timeout: 0 });
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new UserError(
      `Cannot write to ${stateDir}: ${why}. Make it writable, or choose another folder with "npm start -- --state DIR".`,
    );
  }
}

const SQLITE_BUSY = 5;

function isBusy(error: unknown): boolean {
  return error instanceof Error && "errcode" in error && error.errcode === SQLITE_BUSY;
}

function runsAlready(stateDir: string, address: string | null, pid: string | null): UserError {
  const where = address === null ? "" : `, at ${address}`;
  const process = pid === null ? "" : ` (process ${pid})`;
  const how = pid === null ? "Stop it" : `Stop it with Ctrl-C in its terminal, or with "kill ${pid}"`;
  return new UserError(
    `Poolkeeper is already running with the state in ${stateDir}${process}${where}. ` +
      `${how}, or choose another folder with "npm start -- --state DIR".`,
  );
}

/** Killed with no chance to end its workerd, which goes on; nobody has written down that one's process. */
function outlived(stateDir: string, address: string): UserError {
  const file = join(stateDir, ADDRESS_FILE);
  return new UserError(
    `An "npm start" with the state in ${stateDir} was killed, and its workerd may have outlived it: ` +
      `something serves at ${address}. End it, for example with ` +
      `"kill $(lsof -t -i tcp:${new URL(address).port} -s tcp:listen)". If it is something else, remove ${file}.`,
  );
}

/** Where the coordinator of this folder serves, or last did; null before it does. */
function addressIn(stateDir: string): string | null {
  const parsed = z
    .object({ base_url: z.url() })
    .safeParse(parseJson(readIfPresent(join(stateDir, ADDRESS_FILE)) ?? ""));
  return parsed.success ? parsed.data.base_url : null;
}

async function answers(address: string): Promise<boolean> {
  const health = new URL("/health", address);
  return fetch(health, { signal: AbortSignal.timeout(2000) }).then(
    (response) => response.ok,
    () => false,
  );
}
