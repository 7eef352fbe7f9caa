import { parseArgs } from "node:util";

import { Hooks, WithDeletions, WithRareFaults } from "./hooks.ts";
import { MUTATIONS } from "./mutations.ts";
import { play } from "./world.ts";

/** The command `npm run simulate:handover`: plays seeds until one breaks an invariant, or replays one and prints its log. */

const USAGE = `Plays the real fleet, pools and providers on a virtual clock and a faulty network, some seeds a second,
and stops at the first seed that breaks an invariant.

  npm run simulate:handover -- [options]

  --seeds N        how many seeds (200)
  --from N         the first of them (1)
  --all            play all of them, and name each that fails
  --seed N         replay this one and print its log
  --deletions      operators delete machines, too
  --rare           that, and rare faults
  --mutation NAME  with a rule of the handover disabled, which has to fail
  --help

Rules: ${Object.keys(MUTATIONS).join(", ")}.`;

/** Between two lines that say how far it is. */
const SEEDS_PER_LINE = 100;

const OPTIONS = {
  seeds: { type: "string", default: "200" },
  from: { type: "string", default: "1" },
  seed: { type: "string" },
  mutation: { type: "string" },
  deletions: { type: "boolean", default: false },
  rare: { type: "boolean", default: false },
  all: { type: "boolean", default: false },
  help: { type: "boolean", short: "h", default: false },
} as const;

/** An option that cannot be used; the message is a whole sentence. */
export class BadOption extends Error {
  override readonly name = "BadOption";
}

function optionsOf(args: string[]): ReturnType<typeof parseArgs<{ options: typeof OPTIONS }>>["values"] {
  try {
    return parseArgs({ args, options: OPTIONS }).values;
  } catch (error) {
    const known = Object.keys(OPTIONS).map((name) => `--${name}`);
    throw new BadOption(`${error instanceof Error ? error.message : "?"}. Options: ${known.join(", ")}.`);
  }
}

/** A misspelt number must not pass for a run in which nothing failed. */
function wholeNumber(text: string, option: string, least: number): number {
  if (/^\d{1,15}$/.test(text) && Number(text) >= least) return Number(text);
  throw new BadOption(`${option} ${text} is not a whole number of ${least} or more.`);
}

type Print = (line: string) => void;

/**
 * Runs the command.
 * @returns whether no seed broke an invariant.
 * @throws BadOption
 */
export async function runHandover(args: string[], print: Print): Promise<boolean> {
  const values = optionsOf(args);
  if (values.help) {
    print(USAGE);
    return true;
  }
  const plain = () => {
    if (values.rare) return new WithRareFaults();
    return values.deletions ? new WithDeletions() : new Hooks();
  };
  const mutate = values.mutation === undefined ? plain : MUTATIONS[values.mutation];
  if (mutate === undefined) {
    throw new BadOption(`--mutation takes one of ${Object.keys(MUTATIONS).join(", ")}`);
  }
  if (values.seed !== undefined) return show(wholeNumber(values.seed, "--seed", 0), mutate, print);
  const from = wholeNumber(values.from, "--from", 0);
  const count = wholeNumber(values.seeds, "--seeds", 1);
  const startedAt = performance.now();
  let failures = 0;
  let steps = 0;
  for (let seed = from; seed < from + count; seed++) {
    const played = seed - from;
    if (played > 0 && played % SEEDS_PER_LINE === 0)
      print(`${played} of ${count} seeds, ${failures} failures`);
    const result = await play(seed, mutate());
    steps += result.steps;
    if (result.breach === null) continue;
    failures += 1;
    if (values.all) print(`seed ${seed}: ${result.breach}`);
    else {
      await show(seed, mutate, print);
      return false;
    }
  }
  const seconds = (performance.now() - startedAt) / 1000;
  print(
    `${count} seeds from ${from}: ${failures} failures, ${Math.round(steps / count)} steps each, ` +
      `${seconds.toFixed(1)} s, ${(count / seconds).toFixed(1)} seeds/s`,
  );
  return failures === 0;
}

/** Plays one seed and prints its log. @returns whether nothing went wrong. */
async function show(seed: number, mutate: () => Hooks, print: Print): Promise<boolean> {
  const { breach, log, steps } = await play(seed, mutate(), true);
  for (const line of log) print(line);
  print(breach === null ? `seed ${seed}: nothing wrong in ${steps} steps` : `seed ${seed}: ${breach}`);
  return breach === null;
}
