import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";

import { z } from "zod";

import { ROOT } from "./root.ts";
import { UserError } from "./user-error.ts";

/** A machine of the demo: the real provider program with tiny models, as a process of its own. */
export interface DemoMachine {
  readonly name: string;
  /** The one it loads first. */
  readonly model: string;
  /**
   * Settles once the machine is connected and a model loaded, with its id: after an order in an earlier run it need not be the
   * first. Rejects if the program ends or takes too long.
   */
  readonly serving: Promise<string>;
  /** Lets it finish what it runs, then ends it. */
  stop(): Promise<void>;
}

/** The models the repository ships. */
export const DEMO_MODELS = ["tiny-bard", "tiny-verse"] as const;
export type DemoModel = (typeof DEMO_MODELS)[number];

const START_LIMIT_MS = 60_000;
const STOP_LIMIT_MS = 10_000;

/** The provider's log line that says it is connected with its model loaded. */
const servingSchema = z.object({ message: z.literal("serving"), model: z.string() });

/** The id of the machine that loads a model first. */
export function demoNameOf(model: DemoModel): string {
  return `demo-${model}`;
}

/**
 * @param models on its disk; it loads the first.
 * @throws UserError if a model's file is missing.
 */
export function startDemoMachine(
  url: string,
  token: string,
  models: readonly [DemoModel, ...DemoModel[]],
  stateDir: string,
): DemoMachine {
  const [model] = models;
  const name = demoNameOf(model);
  const args = ["--coordinator", url, "--machine-id", name, "--json"];
  for (const id of models) args.push("--model", `${id}=${fileOf(id)}`);
  args.push("--state", join(stateDir, "providers", name), "--context", "1024", "--threads", "1");
  const child = fork(join(ROOT, "provider/src/main.ts"), args, {
    env: { ...process.env, POOLKEEPER_PROVIDER_TOKEN: token },
    // A group of its own: Ctrl-C reaches only the start script, which then stops everything in order.
    detached: true,
    stdio: ["ignore", "pipe", "pipe", "ipc"],
  });
  const serving = waitUntilServing(child);
  // Whoever does not wait for it learns of a failure from the chat that finds no machine.
  serving.catch(() => undefined);
  return { name, model, serving, stop: () => stop(child) };
}

function fileOf(model: DemoModel): string {
  const file = join(ROOT, "models", `${model}.gguf`);
  if (existsSync(file)) return file;
  throw new UserError(`The model file ${file} is missing. Bring it back with "git checkout models".`);
}

async function waitUntilServing(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    const output: string[] = [];
    const fail = (why: string): void => {
      reject(new UserError(`The demo's provider ${why}:\n${output.slice(-20).join("\n")}`));
    };
    const timer = setTimeout(() => fail(`did not serve within ${START_LIMIT_MS / 1000} s`), START_LIMIT_MS);
    for (const stream of [child.stdout, child.stderr]) {
      if (stream === null) continue;
      createInterface({ input: stream }).on("line", (line) => {
        output.push(line);
        const model = servedModel(line);
        if (model === null) return;
        clearTimeout(timer);
        resolve(model);
      });
    }
    child.once("exit", (code, signal) => {
      clearTimeout(timer);
      fail(`ended (${signal ?? `code ${code}`})`);
    });
  });
}

function servedModel(line: string): string | null {
  try {
    return servingSchema.parse(JSON.parse(line)).model;
  } catch {
    return null;
  }
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, "exit");
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), STOP_LIMIT_MS);
  await ended;
  clearTimeout(timer);
}
