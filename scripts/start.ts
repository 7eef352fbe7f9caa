import { mkdirSync } from "node:fs";
import { join, relative } from "node:path";

import { AdminClient } from "./admin-client.ts";
import { demoChat } from "./demo-chat.ts";
import { DemoFlags } from "./demo-flags.ts";
import { DEMO_MODELS, demoNameOf, startDemoMachine, type DemoMachine } from "./demo-machine.ts";
import { demoPlacement } from "./demo-placement.ts";
import type { DemoStage } from "./demo-stage.ts";
import { demoSwitch } from "./demo-switch.ts";
import { ensureKeys, openLocalSecrets, publishDevFile } from "./local-secrets.ts";
import { HELP, readOptions, type StartOptions } from "./options.ts";
import { lockState } from "./state-lock.ts";
import { checkStorage } from "./storage-check.ts";
import { tinyModel } from "./tiny-model.ts";
import { usageOf } from "./usage.ts";
import { UserError } from "./user-error.ts";

/**
 * `npm start`: the whole of Poolkeeper on one machine. The coordinator in workerd, two machines with two tiny
 * models, a chat with each, a machine that is switched by hand, one that follows the demand, and then it serves until Ctrl-C.
 */

const QUESTION = "Who are you?";

/** Undone in reverse order, whatever happens. */
const cleanups: (() => void | Promise<void>)[] = [];

const stopped = new Promise<void>((resolve) => {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(signal, () => resolve());
  }
});

process.exit(await main());

async function main(): Promise<number> {
  try {
    const options = readOptions(process.argv.slice(2), process.env);
    if (options.help) console.log(HELP);
    else await Promise.race([run(options), stopped]);
    return 0;
  } catch (error) {
    console.error(error instanceof UserError ? `\n${error.message}` : error);
    return 1;
  } finally {
    for (const cleanup of cleanups.toReversed()) await cleanup();
  }
}

async function run(options: StartOptions): Promise<void> {
  makeStateDir(options.stateDir);
  cleanups.push(await lockState(options.stateDir));
  checkStorage(options.stateDir);
  const made = openLocalSecrets(options.stateDir);
  // Miniflare takes a while to load, which a look at --help or a slip in the options should not.
  const { startCoordinator } = await import("./coordinator.ts");
  const coordinator = await startCoordinator({
    port: options.port,
    stateDir: options.stateDir,
    adminToken: made.admin_token,
  });
  cleanups.push(() => coordinator.stop());
  const { url } = coordinator;
  const secrets = await ensureKeys(url, options.stateDir, made);
  const health = await fetch(`${url}/health`);
  if (!health.ok) throw new Error(`GET /health answered ${health.status}`);
  cleanups.push(publishDevFile(options.stateDir, url, secrets));
  console.log(
    `Coordinator   ${url}   (workerd; state in ${relative(process.cwd(), options.stateDir) || "."})`,
  );
  const admin = new AdminClient(url, secrets.admin_token);
  const flags = new DemoFlags(admin, join(options.stateDir, "demo-flags.json"));
  await flags.giveBack();
  if (options.demo) {
    const stage = { admin, flags, baseUrl: `${url}/v1`, apiKey: secrets.api_key, print: console.log };
    await demo(url, options, secrets.provider_token, stage);
  }
  if (options.once) return;
  const models = await admin.catalog();
  console.log(usageOf(url, secrets.api_key, options, models.length > 0));
  await stopped;
  console.log("\nStopping ...");
}

async function demo(
  url: string,
  { stateDir, once }: StartOptions,
  providerToken: string,
  stage: DemoStage,
): Promise<void> {
  const { admin } = stage;
  await admin.addToCatalog(DEMO_MODELS.map(tinyModel));
  const startedAt = performance.now();
  const [bard, verse] = DEMO_MODELS;
  // The first has both models on its disk, so that it can be switched.
  const machines = [
    startDemoMachine(url, providerToken, [bard, verse], stateDir),
    startDemoMachine(url, providerToken, [verse], stateDir),
  ];
  cleanups.push(async () => {
    await Promise.all(machines.map((machine) => machine.stop()));
  });
  await Promise.all(machines.map((machine) => announce(machine, startedAt)));
  const inUse = await useOf(admin);
  if (inUse !== null) {
    const advice = `The demo is skipped: ${inUse}. To see it, use a new folder: "npm start -- --state DIR".`;
    if (once) throw new UserError(advice);
    console.log(`\n${advice}`);
    return;
  }
  await askEach(machines, stage);
  await demoSwitch(stage, { machineId: `demo-${bard}`, from: bard, to: verse });
  await demoPlacement(stage, { machineId: `demo-${bard}`, from: verse, to: bard });
}

async function askEach(machines: readonly DemoMachine[], { baseUrl, apiKey }: DemoStage): Promise<void> {
  for (const { model, name } of machines) {
    console.log(`\n> ${model}: ${QUESTION}`);
    const figures = await demoChat(baseUrl, apiKey, model, QUESTION, (text) => process.stdout.write(text));
    if (figures.text === "") throw new Error(`${model} on ${name} answered with nothing`);
    const { completionTokens, firstTokenMs, lastTokenMs } = figures;
    console.log(
      `\n  ${completionTokens} tokens, the first after ${firstTokenMs.toFixed(0)} ms, the last after ${lastTokenMs.toFixed(0)} ms`,
    );
  }
}

async function announce(machine: DemoMachine, startedAt: number): Promise<void> {
  const model = await machine.serving;
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  console.log(`Machine       ${machine.name.padEnd(15)}   serves ${model}, connected after ${seconds} s`);
}

/**
 * The demo wants a fleet that only it has orders for: a machine that is pinned elsewhere would answer none of its chats, and one
 * more that serves a model would leave it no demand to show.
 * @returns what an operator has done with this fleet; null if nothing.
 */
async function useOf(admin: AdminClient): Promise<string | null> {
  if ((await admin.flag("assignment_gate")) === "on") return "the flag assignment_gate is on";
  const own: readonly string[] = DEMO_MODELS.map(demoNameOf);
  const other = (await admin.machines()).find(({ machine_id }) => !own.includes(machine_id));
  return other === undefined ? null : `the fleet has a machine of your own, ${other.machine_id}`;
}

/** @throws UserError if the folder can be neither found nor made. */
function makeStateDir(stateDir: string): void {
  try {
    mkdirSync(stateDir, { recursive: true });
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new UserError(
      `Cannot keep the state in ${stateDir}: ${why}\nChoose a folder with "npm start -- --state DIR".`,
    );
  }
}
