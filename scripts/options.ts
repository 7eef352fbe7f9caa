import { resolve } from "node:path";
import { parseArgs } from "node:util";

import { ROOT } from "./root.ts";
import { UserError } from "./user-error.ts";

/** The command line of `npm start`. */

export interface StartOptions {
  /** 0 picks a free one. */
  readonly port: number;
  /** Run the demo and stop; the exit code is 0 only if every step succeeded. */
  readonly once: boolean;
  /** Start two machines with tiny models and chat with them. */
  readonly demo: boolean;
  /** Where KV and SQLite live. */
  readonly stateDir: string;
  readonly help: boolean;
}

export const HELP = `Starts Poolkeeper on this machine: the coordinator, and two machines with tiny models to chat with.

  npm start -- [options]

  --port N      port of the coordinator (default 8787; 0 picks a free one)
  --once        run the demo and stop; exit code 0 only if every step succeeded
  --no-demo     start only the coordinator, and print how to connect a machine
  --state DIR   directory for KV and SQLite (default .poolkeeper), kept across runs
  --help`;

/**
 * @param environment in which npm leaves what it took for options of its own.
 * @throws UserError for options that do not exist, make no sense or were kept by npm.
 */
export function readOptions(
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): StartOptions {
  checkNpmKeptNone(environment);
  const { port, once, "no-demo": noDemo, state, help } = parse(args);
  if (!/^\d{1,5}$/.test(port) || Number(port) > 65_535) {
    throw new UserError(`--port wants a number from 0 to 65535, not "${port}".`);
  }
  if (once && noDemo) throw new UserError("--once shows the demo's chats, so it does not go with --no-demo.");
  return { port: Number(port), once, demo: !noDemo, stateDir: resolve(ROOT, state), help };
}

/** Without a "--" before them npm takes options for itself, warns at most, and starts everything as if there were none. */
function checkNpmKeptNone(environment: Readonly<Record<string, string | undefined>>): void {
  const kept = Object.entries(NPM_NAMES).find(
    ([name]) => environment[`npm_config_${name}`] !== undefined,
  )?.[1];
  if (kept === undefined) return;
  throw new UserError(
    `npm has kept ${kept} for itself. Write "--" before the options: npm start -- ${kept} ...`,
  );
}

const NPM_NAMES = { port: "--port", once: "--once", demo: "--no-demo", state: "--state" };

interface Parsed {
  readonly port: string;
  readonly once: boolean;
  readonly "no-demo": boolean;
  readonly state: string;
  readonly help: boolean;
}

function parse(args: readonly string[]): Parsed {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        port: { type: "string", default: "8787" },
        once: { type: "boolean", default: false },
        "no-demo": { type: "boolean", default: false },
        state: { type: "string", default: ".poolkeeper" },
        help: { type: "boolean", short: "h", default: false },
      },
    });
    return values;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new UserError(`${why}\nSee "npm start -- --help".`);
  }
}
