import { mkdirSync } from "node:fs";
import { join, relative } from "node:path";

import { AdminClient } from "./admin-client.ts";
import { startCoordinator } from "./coordinator.ts";
import { demoChat } from "./demo-chat.ts";
import { DEMO_MODELS, startDemoMachine, type DemoMachine } from "./demo-machine.ts";
import { demoPlacement } from "./demo-placement.ts";
import { demoSwitch } from "./demo-switch.ts";
import { assertNotRunning, ensureKeys, openLocalSecrets, publishDevFile } from "./local-secrets.ts";
import { HELP, readOptions, type StartOptions } from "./options.ts";
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
    const options = readOptions(process.argv.slice(2));
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
  mkdirSync(options.stateDir, { recursive: true });
  await assertNotRunning(options.stateDir);
  const made = openLocalSecrets(options.stateDir);
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
  if (options.demo)
    await demo(url, options.stateDir, secrets.admin_token, secrets.api_key, secrets.provider_token);
  if (options.once) return;
  console.log(usageOf(url, secrets.api_key, options.stateDir, options.demo));
  await stopped;
  console.log("\nStopping ...");
}

async function demo(
  url: string,
  stateDir: string,
  adminToken: string,
  apiKey: string,
  providerToken: string,
): Promise<void> {
  const admin = new AdminClient(url, adminToken);
  await admin.addToCatalog(
    DEMO_MODELS.map((id) => ({ id, context_length: 1024, size_gb: 0.003, min_ram_gb: 1 })),
  );
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
  for (const { model, name } of machines) {
    console.log(`\n> ${model}: ${QUESTION}`);
    const figures = await demoChat(`${url}/v1`, apiKey, model, QUESTION, (text) =>
      process.stdout.write(text),
    );
    if (figures.text === "") throw new Error(`${model} on ${name} answered with nothing`);
    const { completionTokens, tokensPerSecond, firstTokenMs } = figures;
    const rate = tokensPerSecond.toFixed(0);
    console.log(
      `\n  ${completionTokens} tokens, ${rate} tokens/s, first token after ${firstTokenMs.toFixed(0)} ms`,
    );
  }
  await demoSwitch(
    admin,
    `${url}/v1`,
    apiKey,
    { machineId: `demo-${bard}`, from: bard, to: verse },
    console.log,
  );
  await demoPlacement(
    admin,
    `${url}/v1`,
    apiKey,
    { machineId: `demo-${bard}`, from: verse, to: bard },
    console.log,
  );
}

async function announce(machine: DemoMachine, startedAt: number): Promise<void> {
  await machine.serving;
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  console.log(`Machine       ${machine.name}   serves ${machine.model}, connected after ${seconds} s`);
}

function usageOf(url: string, apiKey: string, stateDir: string, withModel: boolean): string {
  const baseUrl = `${url}/v1`;
  const devFile = JSON.stringify(join(relative(process.cwd(), stateDir) || ".", "dev.json"));
  const lines = [
    "",
    "Ready for any OpenAI client. Ctrl-C stops everything.",
    `  base URL  ${baseUrl}`,
    `  API key   ${apiKey}`,
    `  dashboard ${url}/dashboard   (its admin token: node -p 'JSON.parse(fs.readFileSync(${devFile})).admin_token')`,
  ];
  const body = `{"model":"${DEMO_MODELS[0]}","stream":true,"messages":[{"role":"user","content":"Hello"}]}`;
  const curl = withModel
    ? `curl -N ${baseUrl}/chat/completions -H "Authorization: Bearer ${apiKey}" -H "Content-Type: application/json" -d '${body}'`
    : `curl ${baseUrl}/models -H "Authorization: Bearer ${apiKey}"`;
  return [...lines, `  try       ${curl}`].join("\n");
}
