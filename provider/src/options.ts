import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs, type ParseArgsConfig } from "node:util";

import { machineIdSchema, type MachineId } from "../../protocol/ids.ts";
import { MAX_CONTEXT_TOKENS, MAX_SLOTS } from "./engine.ts";
import { isLoopback } from "./loopback.ts";
import type { ModelSources } from "./models.ts";
import { DEFAULT_SLOTS } from "./options/defaults.ts";
import { MODEL_FORMS, readEngine, readThreads, type EngineChoice } from "./options/engine-choice.ts";
import { readHubToken, readToken } from "./options/secrets.ts";
import { expandHome, expandHomeInSource, readNumber } from "./options/values.ts";
import { reasonOf } from "./reason.ts";
import type { ReservationRules } from "./reservation.ts";
import { UserError } from "./user-error.ts";

/** The command line and the environment, read into what the program needs. */

export interface Options {
  readonly coordinator: URL;
  readonly token: string;
  readonly sources: ModelSources;
  readonly machineId: MachineId | null;
  readonly slots: number;
  /** null: as much as the engine finds sensible. */
  readonly contextTokens: number | null;
  /** null: the engine decides. */
  readonly threads: number | null;
  readonly engine: EngineChoice;
  readonly stateDirectory: string;
  /** Where models are kept that `--model` names by an address. */
  readonly downloadsDirectory: string;
  /** The owner's token at Hugging Face; null if there is none. */
  readonly hubToken: string | null;
  readonly privateOnly: boolean;
  /** PEM: what Apple has attested of this machine's key; null if nothing. */
  readonly attestationChain: string | null;
  readonly reservation: ReservationRules;
  readonly json: boolean;
  readonly caffeinate: boolean;
  /** What the owner should know but need not change. */
  readonly warnings: readonly string[];
}

/** What it takes to ask the coordinator about this machine. */
export type WhyOptions = Pick<Options, "coordinator" | "token" | "machineId" | "stateDirectory" | "warnings">;

export type CommandLine =
  | { readonly command: "serve"; readonly options: Options }
  | { readonly command: "why"; readonly options: WhyOptions }
  | { readonly command: "pause" | "resume"; readonly stateDirectory: string }
  | { readonly command: "help" }
  | { readonly command: "version" };

const MIN_CONTEXT_TOKENS = 256;
const MAX_IDLE_MINUTES = 1440;

const FLAGS = {
  coordinator: { type: "string" },
  token: { type: "string" },
  "token-file": { type: "string" },
  model: { type: "string", multiple: true },
  "models-dir": { type: "string", multiple: true },
  "downloads-dir": { type: "string" },
  "machine-id": { type: "string" },
  slots: { type: "string" },
  context: { type: "string" },
  threads: { type: "string" },
  engine: { type: "string" },
  "server-command": { type: "string" },
  "server-url": { type: "string" },
  state: { type: "string" },
  "attestation-chain": { type: "string" },
  private: { type: "boolean" },
  "not-on-battery": { type: "boolean" },
  "not-while-used": { type: "string" },
  json: { type: "boolean" },
  "no-caffeinate": { type: "boolean" },
  help: { type: "boolean", short: "h" },
  version: { type: "boolean", short: "v" },
} as const satisfies ParseArgsConfig["options"];

export type Environment = Readonly<Record<string, string | undefined>>;

/** @throws UserError that names the flag and says what to write instead. */
export function readCommandLine(argv: readonly string[], env: Environment): CommandLine {
  const [command] = argv;
  const isNamed = command === "why" || command === "pause" || command === "resume";
  const values = parseFlags(isNamed ? argv.slice(1) : argv);
  if (values.help === true) return { command: "help" };
  if (values.version === true) return { command: "version" };
  if (!isNamed) return { command: "serve", options: readOptions(values, env) };
  return command === "why"
    ? { command, options: readWhyOptions(values, env) }
    : { command, stateDirectory: readStateDirectory(values) };
}

type Values = ReturnType<typeof parseFlags>;

/** All other flags may be there too, so that it can be put in front of those that the program is started with. */
function readWhyOptions(values: Values, env: Environment): WhyOptions {
  const warnings: string[] = [];
  return {
    coordinator: readCoordinator(values.coordinator ?? env["POOLKEEPER_COORDINATOR"], warnings),
    token: readToken(values.token, values["token-file"], env["POOLKEEPER_PROVIDER_TOKEN"], warnings),
    machineId: readMachineId(values["machine-id"]),
    stateDirectory: readStateDirectory(values),
    warnings,
  };
}

function readStateDirectory({ state }: Values): string {
  return resolve(expandHome(state ?? join(homedir(), ".poolkeeper")));
}

function readOptions(values: Values, env: Environment): Options {
  const warnings: string[] = [];
  const engine = readEngine(values, env["POOLKEEPER_SERVER_KEY"], warnings);
  const stateDirectory = readStateDirectory(values);
  const downloads = values["downloads-dir"];
  const chain = values["attestation-chain"];
  return {
    coordinator: readCoordinator(values.coordinator ?? env["POOLKEEPER_COORDINATOR"], warnings),
    token: readToken(values.token, values["token-file"], env["POOLKEEPER_PROVIDER_TOKEN"], warnings),
    sources: {
      models: (values.model ?? []).map(expandHomeInSource),
      directories: (values["models-dir"] ?? []).map((directory) => resolve(expandHome(directory))),
      form: MODEL_FORMS[engine.name],
    },
    machineId: readMachineId(values["machine-id"]),
    slots: readNumber("--slots", values.slots, DEFAULT_SLOTS, 1, MAX_SLOTS),
    contextTokens: readNumber("--context", values.context, null, MIN_CONTEXT_TOKENS, MAX_CONTEXT_TOKENS),
    threads: readThreads(values.threads, engine, warnings),
    engine,
    stateDirectory,
    downloadsDirectory:
      downloads === undefined ? join(stateDirectory, "models") : resolve(expandHome(downloads)),
    hubToken: readHubToken(env["HF_TOKEN"], warnings),
    privateOnly: values.private === true,
    reservation: {
      onBattery: values["not-on-battery"] === true,
      whileUsedMinutes:
        values["not-while-used"] === undefined
          ? null
          : readNumber("--not-while-used", values["not-while-used"], 0, 1, MAX_IDLE_MINUTES),
    },
    attestationChain: chain === undefined ? null : resolve(expandHome(chain)),
    json: values.json === true,
    caffeinate: values["no-caffeinate"] !== true,
    warnings,
  };
}

function parseFlags(
  argv: readonly string[],
): ReturnType<typeof parseArgs<{ options: typeof FLAGS }>>["values"] {
  try {
    return parseArgs({ args: [...argv], options: FLAGS, strict: true, allowPositionals: false }).values;
  } catch (cause) {
    throw new UserError(`${mistakeOf(reasonOf(cause))}. See --help.`, { cause });
  }
}

/** @param said by Node of arguments that it cannot parse: a sentence, often with others after it. */
function mistakeOf(said: string): string {
  const valueless = /^Option '(?:-\w, )?(--[\w-]+).*argument (?:is ambiguous|missing)/.exec(said)?.[1];
  if (valueless !== undefined) return `${valueless} needs a value`;
  const sentence = said.split(/\.\s/)[0] ?? said;
  const isPositional = sentence.startsWith("Unexpected argument");
  return isPositional
    ? `${sentence}: the only commands are why, pause and resume, before all flags`
    : sentence;
}

function readCoordinator(text: string | undefined, warnings: string[]): URL {
  if (text === undefined || text === "") {
    throw new UserError(
      "Which coordinator? Give --coordinator https://... or set POOLKEEPER_COORDINATOR. See --help.",
    );
  }
  let url: URL;
  try {
    url = new URL(text);
  } catch (cause) {
    throw new UserError(`--coordinator ${text} is not a URL. Write it like https://pool.example.com.`, {
      cause,
    });
  }
  if (url.protocol === "wss:" || url.protocol === "ws:") {
    url = new URL(text.replace(/^ws/i, "http"));
  }
  // Clients are given the base URL, which has it; the program appends its own.
  url.pathname = url.pathname.replace(/\/v1\/?$/, "");
  if (url.protocol !== "https:" && url.protocol !== "http:") {
    throw new UserError(`--coordinator ${text} must begin with https:// (or http:// on this machine).`);
  }
  if (url.username !== "" || url.password !== "") {
    throw new UserError("--coordinator must not contain a user name or password. Use --token-file.");
  }
  if (url.protocol === "http:" && !isLoopback(url.hostname)) {
    warnings.push("the coordinator's address is http: token and prompts travel unencrypted; use https");
  }
  return url;
}

function readMachineId(text: string | undefined): MachineId | null {
  if (text === undefined) return null;
  const parsed = machineIdSchema.safeParse(text);
  if (parsed.success) return parsed.data;
  throw new UserError(`--machine-id ${text} is not valid: it ${parsed.error.issues[0]?.message ?? ""}.`);
}
