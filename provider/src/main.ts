#!/usr/bin/env node
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";

import { z } from "zod";

import { Agent } from "./agent.ts";
import type { AgentPorts } from "./agent/config.ts";
import type { Log } from "./agent/ports.ts";
import type { AgentStatus } from "./agent/status.ts";
import { createAttester } from "./attester.ts";
import { createDial } from "./connection.ts";
import type { Downloads } from "./downloads/run.ts";
import type { Engine } from "./engine.ts";
import { createEchoEngine } from "./engines/echo.ts";
import { createLlamaEngine } from "./engines/llama.ts";
import { createAttachedHost } from "./engines/server/attached-host.ts";
import { createCommandHost } from "./engines/server/command-host.ts";
import { createServerEngine } from "./engines/server/server-engine.ts";
import { createExplain, type Explain } from "./explain.ts";
import { isTranslated, readHardware, watchVitals } from "./hardware.ts";
import { IdleWatch } from "./idle-watch.ts";
import { keepAwake } from "./keep-awake.ts";
import { createLog } from "./log.ts";
import { createAnswerEncoder } from "./openai/answer-encoder.ts";
import { readCommandLine, type Options } from "./options.ts";
import { HELP } from "./options/help.ts";
import { createReservationReader, pause, resume, watchReservation } from "./reservation.ts";
import { lockDirectory } from "./state/directory-lock.ts";
import { openIdentity } from "./state/identity.ts";
import { readAssignment, writeAssignment } from "./state/saved-assignment.ts";
import { StatusLine } from "./status-line.ts";
import { gatherStock } from "./stock.ts";
import { onLogClosed, onStopSignal } from "./stop-signals.ts";
import { SYSTEM_CLOCK } from "./system-clock.ts";
import { TerminalLine, type Terminal } from "./terminal-line.ts";
import { UserError } from "./user-error.ts";
import { why } from "./why.ts";

/** The program: reads the command line, gives the agent its ports and waits for a signal. */

/** Short, because a switch looks there for the memory that the model before has given back. */
const VITALS_INTERVAL_MS = 3000;
/** After a second signal the engine has this long to free its memory before the process ends anyway. */
const ABORT_LIMIT_MS = 6000;

const EXIT_OK = 0;
/** `why`: something keeps requests away, or nobody can say. */
const EXIT_KEPT_AWAY = 1;
const EXIT_USAGE = 2;
/** The coordinator refuses this machine; restarting without a change does not help. */
const EXIT_REFUSED = 3;
const EXIT_SECOND_SIGNAL = 130;

async function main(): Promise<number> {
  const commandLine = readCommandLine(process.argv.slice(2), process.env);
  switch (commandLine.command) {
    case "help":
      console.log(HELP);
      return EXIT_OK;
    case "version":
      console.log(readVersion());
      return EXIT_OK;
    case "why":
      return (await why(commandLine.options, readVersion())) ? EXIT_OK : EXIT_KEPT_AWAY;
    case "pause":
      pause(commandLine.stateDirectory);
      console.log(
        "Paused: this machine serves only its owner until `poolkeeper-provider resume`. Running requests are finished.",
      );
      return EXIT_OK;
    case "resume":
      console.log(resume(commandLine.stateDirectory) ? "Resumed." : "This machine was not paused.");
      return EXIT_OK;
    case "serve": {
      const unlock = lockDirectory(commandLine.options.stateDirectory);
      try {
        return await serve(commandLine.options);
      } finally {
        unlock();
      }
    }
  }
}

async function serve(options: Options): Promise<number> {
  await refuseTranslation();
  forgetKeys(options);
  const { log, line } = openLog(options);
  const letSleep = options.caffeinate ? keepAwake(options.reservation.onBattery) : () => {};
  const identity = openIdentity(options.stateDirectory, options.machineId);
  const { assignment, warning } = readAssignment(options.stateDirectory);
  const stock = await gatherStock(options, log, line);
  if (stock === null) return EXIT_OK;
  const { models, first, skipped, coming, downloads } = stock;
  const version = readVersion();

  const vitals = watchVitals(process.platform, VITALS_INTERVAL_MS);
  const connection = {
    coordinator: options.coordinator,
    token: options.token,
    machineId: identity.machineId,
    userAgent: `poolkeeper-provider/${version}`,
  };
  const ports: AgentPorts = {
    clock: SYSTEM_CLOCK,
    random: Math.random,
    dial: createDial(connection),
    engine: createEngine(options, (text) => log.warn(text)),
    createAnswerEncoder,
    vitals: vitals.newest,
    attester: createAttester(identity, options.attestationChain, log),
    saveAssignment: (held) => writeAssignment(options.stateDirectory, held),
    whyMissing: (id) => downloads.stateOf(id),
    log,
  };
  const agent = new Agent(
    {
      version,
      machineId: identity.machineId,
      sessionId: randomBytes(12).toString("hex"),
      publicKey: identity.publicKey,
      hardware: await readHardware(process.platform),
      models,
      firstModel: first,
      slots: options.slots,
      contextTokens: options.contextTokens,
      privateOnly: options.privateOnly,
      assignment,
    },
    ports,
  );

  log.info("starting", {
    version,
    machine: identity.machineId,
    coordinator: options.coordinator.origin,
    models: models.map(({ id }) => id).join(" "),
    downloading: coming.join(" "),
    engine: ports.engine.name,
    pid: process.pid,
  });
  warn(log, options.warnings, skipped, warning);

  const stopWatching = watchReservation(
    createReservationReader(options.stateDirectory, options.reservation, log),
    (because) => agent.reserve(because),
  );
  const exitCode = await run(agent, downloads, createExplain(connection), { log, line });
  stopWatching();
  vitals.stop();
  letSleep();
  log.info("stopped");
  return exitCode;
}

/** Runs the agent until it has stopped. @returns the exit code. */
async function run(
  agent: Agent,
  downloads: Downloads,
  explain: Explain,
  { log, line }: ReturnType<typeof openLog>,
): Promise<number> {
  const status = line === null ? null : showStatus(agent, downloads, line);
  const stop = (): void => {
    agent.stop();
    void downloads.stop();
  };
  const signals = listenToSignals(stop, () => agent.abort());
  onLogClosed(stop);
  agent.start();
  downloads.deliverTo((model) => agent.offer(model));
  const idleWatch = watchIdleness(agent, downloads, explain, log);
  const cause = await agent.finished;
  await downloads.stop();
  idleWatch.stop();
  signals.stop();
  status?.stop();
  if (signals.wereRepeated()) return EXIT_SECOND_SIGNAL;
  return cause.kind === "asked" ? EXIT_OK : EXIT_REFUSED;
}

/** Engines inherit the environment, which should hold no keys. The owner's own server may need HF_TOKEN to fetch models. */
function forgetKeys({ engine }: Options): void {
  delete process.env["POOLKEEPER_PROVIDER_TOKEN"];
  delete process.env["POOLKEEPER_SERVER_KEY"];
  if (engine.name !== "command") delete process.env["HF_TOKEN"];
}

const TERMINAL: Terminal = {
  write: (text) => process.stdout.write(text),
  // Some terminals do not know their width.
  columns: () => process.stdout.columns || 80,
};

/** In a terminal, log lines are printed above the status line. */
function openLog({ json }: Options): { log: Log; line: TerminalLine | null } {
  const line = json || !process.stdout.isTTY ? null : new TerminalLine(TERMINAL);
  const write = (text: string): void => (line === null ? console.log(text) : line.print(text));
  return { log: createLog({ json, write, now: SYSTEM_CLOCK.now }), line };
}

/** What the owner should know from the start. */
function warn(
  log: Log,
  ofOptions: readonly string[],
  skipped: readonly string[],
  ofAssignment: string | null,
): void {
  for (const line of ofOptions) log.warn(line);
  for (const reason of skipped) log.warn(`skipped ${reason}`);
  if (ofAssignment !== null) log.warn(ofAssignment);
}

/** @param log takes lines about an engine's start, for the owner. */
function createEngine({ engine, threads }: Options, log: (line: string) => void): Engine {
  switch (engine.name) {
    case "llama":
      return createLlamaEngine(threads === null ? {} : { threads });
    case "echo":
      return createEchoEngine();
    case "command":
      return createServerEngine(createCommandHost({ command: engine.command, log }), log);
    case "attached":
      return createServerEngine(createAttachedHost({ endpoint: engine.endpoint, log }), log);
  }
}

/** The first signal ends the program when running requests are done, the second one at once. */
function listenToSignals(
  finish: () => void,
  abort: () => void,
): { stop: () => void; wereRepeated: () => boolean } {
  let count = 0;
  const stop = onStopSignal(() => {
    count += 1;
    if (count === 1) {
      finish();
      return;
    }
    abort();
    setTimeout(() => process.exit(EXIT_SECOND_SIGNAL), ABORT_LIMIT_MS).unref();
  });
  return { stop, wereRepeated: () => count > 1 };
}

function showStatus(agent: Agent, downloads: Downloads, line: TerminalLine): StatusLine {
  const status = new StatusLine(
    line,
    () => agent.status(),
    () => downloads.progressText(),
    SYSTEM_CLOCK.now,
  );
  status.start();
  return status;
}

/** @throws UserError */
async function refuseTranslation(): Promise<void> {
  if (!(await isTranslated(process.platform, process.arch))) return;
  throw new UserError(
    "This is an Intel build of Node that runs translated on Apple silicon, where models cannot use the GPU. Install the arm64 build of Node and try again.",
  );
}

function watchIdleness(agent: Agent, downloads: Downloads, explain: Explain, log: Log): IdleWatch {
  const status = (): AgentStatus => agent.status();
  const coming = (): string | null => downloads.describeMissing();
  const idleWatch = new IdleWatch({ clock: SYSTEM_CLOCK, status, explain, coming, log });
  idleWatch.start();
  return idleWatch;
}

function readVersion(): string {
  const text = readFileSync(new URL("../package.json", import.meta.url), "utf8");
  return z.object({ version: z.string() }).parse(JSON.parse(text)).version;
}

try {
  // Explicitly, since a connection or a child that lingers must not keep the program alive.
  process.exit(await main());
} catch (error) {
  if (!(error instanceof UserError)) throw error;
  console.error(`poolkeeper-provider: ${error.message}`);
  process.exit(EXIT_USAGE);
}
