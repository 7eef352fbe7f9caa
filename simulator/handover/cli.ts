import { parseArgs } from "node:util";

import { Hooks, WithDeletions } from "./hooks.ts";
import { MUTATIONS } from "./mutations.ts";
import { play } from "./world.ts";

/**
 * `npm run simulate:handover -- --seeds 2000 --from 1` plays seeds until one breaks an invariant; `--seed N` replays
 * one and shows what happened; `--mutation NAME` plays them with a rule of the handover removed, `--deletions` with operators
 * who also delete machines.
 */

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "200" },
    from: { type: "string", default: "1" },
    seed: { type: "string" },
    mutation: { type: "string" },
    deletions: { type: "boolean", default: false },
    all: { type: "boolean", default: false },
  },
});

const print = (line: string): void => {
  process.stdout.write(`${line}\n`);
};

process.exitCode = await main();

async function main(): Promise<number> {
  const plain = () => (values.deletions ? new WithDeletions() : new Hooks());
  const mutate = values.mutation === undefined ? plain : MUTATIONS[values.mutation];
  if (mutate === undefined) {
    print(`--mutation takes one of ${Object.keys(MUTATIONS).join(", ")}`);
    return 2;
  }
  if (values.seed !== undefined) return (await show(Number(values.seed), mutate)) ? 0 : 1;
  const from = Number(values.from);
  const count = Number(values.seeds);
  const startedAt = performance.now();
  let failures = 0;
  let steps = 0;
  for (let seed = from; seed < from + count; seed++) {
    const result = await play(seed, mutate());
    steps += result.steps;
    if (result.breach === null) continue;
    failures += 1;
    if (values.all) print(`seed ${seed}: ${result.breach}`);
    else {
      await show(seed, mutate);
      return 1;
    }
  }
  const seconds = (performance.now() - startedAt) / 1000;
  print(
    `${count} seeds from ${from}: ${failures} failures, ${Math.round(steps / count)} steps each, ` +
      `${seconds.toFixed(1)} s, ${(count / seconds).toFixed(1)} seeds/s`,
  );
  return failures === 0 ? 0 : 1;
}

/** @returns whether nothing went wrong. */
async function show(seed: number, mutate: () => Hooks): Promise<boolean> {
  const { breach, log, steps } = await play(seed, mutate(), true);
  for (const line of log) print(line);
  print(breach === null ? `seed ${seed}: nothing wrong in ${steps} steps` : `seed ${seed}: ${breach}`);
  return breach === null;
}
