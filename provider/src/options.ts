import { readFileSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs, type ParseArgsConfig } from "node:util";

import { machineIdSchema, type MachineId } from "../../protocol/ids.ts";
import { MAX_CONTEXT_TOKENS, MAX_SLOTS } from "./engine.ts";
import type { Endpoint } from "./engines/server/endpoint.ts";
import type { ModelForm, ModelSources } from "./models.ts";
import { reasonOf } from "./reason.ts";
import { UserError } from "./user-error.ts";

/** The command line and the environment, read into what the program needs. */

export type EngineChoice =
  | { readonly name: "llama" | "echo" }
  /** A server that is started for each model. */
  | { readonly name: "command"; readonly command: string }
  /** A server that runs anyway. */
  | { readonly name: "attached"; readonly endpoint: Endpoint };

export interface Options {
  readonly coordinator: URL;
  readonly token: string;
  readonly sources: ModelSources;
  readonly machineId: MachineId | null;
  readonly slots: number;
  readonly contextTokens: number;
  /** null: the engine decides. */
  readonly threads: number | null;
  readonly engine: EngineChoice;
  readonly stateDirectory: string;
  /** Where models are kept that `--model` names by an address. */
  readonly downloadsDirectory: string;
  /** The owner's token at Hugging Face; null if there is none. */
  readonly hubToken: string | null;
  readonly privateOnly: boolean;
  readonly json: boolean;
  readonly caffeinate: boolean;
  /** What the owner should know but need not change. */
  readonly warnings: readonly string[];
}

export type CommandLine =
  | { readonly command: "serve"; readonly options: Options }
  | { readonly command: "help" }
  | { readonly command: "version" };

/** What stands after the id in `--model`. */
const MODEL_FORMS: Readonly<Record<EngineChoice["name"], ModelForm>> = {
  llama: "files",
  echo: "ids",
  command: "files or names",
  attached: "names",
};

const DEFAULT_SLOTS = 4;
const DEFAULT_CONTEXT_TOKENS = 4096;
const MIN_CONTEXT_TOKENS = 256;
const MAX_THREADS = 256;

export const HELP = `Serves open models on this machine for a Poolkeeper coordinator.

  poolkeeper-provider --coordinator https://pool.example.com --token-file ~/.poolkeeper/token \\
    --model gpt-oss-20b=hf:bartowski/openai_gpt-oss-20b-GGUF/openai_gpt-oss-20b-MXFP4.gguf

Connection
  --coordinator URL     address of the coordinator       [POOLKEEPER_COORDINATOR]
  --token-file FILE     file that holds the provider token
  --token TOKEN         the token itself; other users of this machine can see it
                        in the process list              [POOLKEEPER_PROVIDER_TOKEN]
  --machine-id ID       name of this machine in the fleet; chosen once and kept
  --private             serve only requests of this machine's owner

Models
  --model ID=FILE       offer a GGUF file under a catalog id; may be repeated,
                        the first one that is here is loaded at the start
  --model ID=hf:ORG/REPO/FILE, or ID=URL
                        the same, and download the file if it is not there, while
                        those models are served that are;
                        hf:ORG/REPO@REVISION/FILE for another branch than main,
                        #sha256=HEX at the end to check it; gated models need a
                        token of Hugging Face                    [HF_TOKEN]
  --downloads-dir DIR   where downloaded models are kept (default: models in --state)
  --models-dir DIR      offer every *.gguf in a directory under its file name;
                        without --model the coordinator's catalog decides which
                        one is loaded first
  --slots N             requests at once (default ${DEFAULT_SLOTS})
  --context N           tokens per slot (default ${DEFAULT_CONTEXT_TOKENS}; at most what the model was trained for)
  --threads N           CPU threads (default: the engine's choice)
  --engine NAME         llama (default), or echo: no model, repeats what it is told

Another engine: any server with OpenAI's API, and --model ID=NAME for what it calls a model;
a command may have files downloaded for it as above
  --server-command CMD  started for each model, ended to unload it; the shell finds
                        MODEL, PORT, SLOTS and CONTEXT in the environment, as in
                        'llama-server -m "$MODEL" --port $PORT -np $SLOTS'
  --server-url URL      one that runs anyway, such as Ollama or LM Studio
                                                         [POOLKEEPER_SERVER_KEY]

Program
  --state DIR           machine id and key (default ~/.poolkeeper)
  --no-caffeinate       let this Mac go to sleep while it serves
  --json                log lines as JSON
  --help, --version

Stop with Ctrl-C: running requests are finished first. A second Ctrl-C stops at once.`;

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
  private: { type: "boolean" },
  json: { type: "boolean" },
  "no-caffeinate": { type: "boolean" },
  help: { type: "boolean", short: "h" },
  version: { type: "boolean", short: "v" },
} as const satisfies ParseArgsConfig["options"];

export type Environment = Readonly<Record<string, string | undefined>>;

/** @throws UserError that names the flag and says what to write instead. */
export function readCommandLine(argv: readonly string[], env: Environment): CommandLine {
  const values = parseFlags(argv);
  if (values.help === true) return { command: "help" };
  if (values.version === true) return { command: "version" };
  const warnings: string[] = [];
  const engine = readEngine(values, env, warnings);
  const stateDirectory = resolve(expandHome(values.state ?? join(homedir(), ".poolkeeper")));
  const downloads = values["downloads-dir"];
  const options: Options = {
    coordinator: readCoordinator(values.coordinator ?? env["POOLKEEPER_COORDINATOR"], warnings),
    token: readToken(values.token, values["token-file"], env["POOLKEEPER_PROVIDER_TOKEN"], warnings),
    sources: {
      models: (values.model ?? []).map(expandHomeInSource),
      directories: (values["models-dir"] ?? []).map((directory) => resolve(expandHome(directory))),
      form: MODEL_FORMS[engine.name],
    },
    machineId: readMachineId(values["machine-id"]),
    slots: readNumber("--slots", values.slots, DEFAULT_SLOTS, 1, MAX_SLOTS),
    contextTokens: readNumber(
      "--context",
      values.context,
      DEFAULT_CONTEXT_TOKENS,
      MIN_CONTEXT_TOKENS,
      MAX_CONTEXT_TOKENS,
    ),
    threads: readThreads(values.threads, engine, warnings),
    engine,
    stateDirectory,
    downloadsDirectory:
      downloads === undefined ? join(stateDirectory, "models") : resolve(expandHome(downloads)),
    hubToken: readHubToken(env["HF_TOKEN"], warnings),
    privateOnly: values.private === true,
    json: values.json === true,
    caffeinate: values["no-caffeinate"] !== true,
    warnings,
  };
  return { command: "serve", options };
}

function parseFlags(
  argv: readonly string[],
): ReturnType<typeof parseArgs<{ options: typeof FLAGS }>>["values"] {
  try {
    return parseArgs({ args: [...argv], options: FLAGS, strict: true, allowPositionals: false }).values;
  } catch (cause) {
    const message = reasonOf(cause);
    throw new UserError(`${message.split(/\.\s/)[0] ?? message}. See --help.`, { cause });
  }
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

export function isLoopback(host: string): boolean {
  return host === "localhost" || host.endsWith(".localhost") || host === "[::1]" || host.startsWith("127.");
}

function readToken(
  flag: string | undefined,
  file: string | undefined,
  env: string | undefined,
  warnings: string[],
): string {
  if (flag !== undefined && file !== undefined) {
    throw new UserError("Give either --token or --token-file, not both.");
  }
  let token = env ?? "";
  if (flag !== undefined) {
    warnings.push("other users of this machine can read --token in the process list; prefer --token-file");
    token = flag;
  }
  if (file !== undefined) token = readTokenFile(resolve(expandHome(file)), warnings);
  token = token.trim();
  if (token === "") {
    throw new UserError(
      "No provider token. Give --token-file FILE, or set POOLKEEPER_PROVIDER_TOKEN; the coordinator's operator hands tokens out.",
    );
  }
  if (/^pk_[0-9a-f]{18}_[0-9a-f]{64}$/.test(token)) {
    throw new UserError(
      "This is an API key, which is for clients. A provider token begins with pt_; the coordinator's operator hands them out.",
    );
  }
  if (!isToken(token)) throw new UserError("The provider token has characters that no token has.");
  return token;
}

function readTokenFile(path: string, warnings: string[]): string {
  try {
    if ((statSync(path).mode & 0o077) !== 0) {
      warnings.push(`other users of this machine can read ${path}; run: chmod 600 ${path}`);
    }
    return readFileSync(path, "utf8");
  } catch (cause) {
    throw new UserError(`Cannot read the token file ${path}: ${reasonOf(cause)}.`, { cause });
  }
}

/** It is set for other programs as well, so this one starts without it if it makes no sense. */
function readHubToken(text: string | undefined, warnings: string[]): string | null {
  const token = text?.trim() ?? "";
  if (isToken(token)) return token;
  if (token !== "") warnings.push("HF_TOKEN is not used: it has characters that no token has");
  return null;
}

function readMachineId(text: string | undefined): MachineId | null {
  if (text === undefined) return null;
  const parsed = machineIdSchema.safeParse(text);
  if (parsed.success) return parsed.data;
  throw new UserError(`--machine-id ${text} will not do: it ${parsed.error.issues[0]?.message ?? ""}.`);
}

type EngineFlags = Pick<
  ReturnType<typeof parseFlags>,
  "engine" | "server-command" | "server-url" | "models-dir"
>;

function readEngine(
  { engine, "server-command": command, "server-url": url, "models-dir": directories }: EngineFlags,
  env: Environment,
  warnings: string[],
): EngineChoice {
  if ([engine, command, url].filter((flag) => flag !== undefined).length > 1) {
    throw new UserError("Give only one of --engine, --server-command and --server-url.");
  }
  if (command !== undefined) return readServerCommand(command, warnings);
  if (url !== undefined) {
    if (directories !== undefined) {
      throw new UserError("--models-dir is of no use with --server-url: that server has its own files.");
    }
    return { name: "attached", endpoint: readServer(url, env["POOLKEEPER_SERVER_KEY"], warnings) };
  }
  if (engine === undefined || engine === "llama") return { name: "llama" };
  if (engine === "echo") return { name: "echo" };
  throw new UserError(
    `--engine ${engine} is not known. There are llama and echo; others with --server-command or --server-url.`,
  );
}

function readThreads(text: string | undefined, { name }: EngineChoice, warnings: string[]): number | null {
  if (text === undefined) return null;
  if (name !== "llama") warnings.push("--threads is for the built-in engine, and of no use with another one");
  return readNumber("--threads", text, 1, 1, MAX_THREADS);
}

/** A script may read its environment by itself, so that it does not name the port is no mistake for certain. */
function readServerCommand(command: string, warnings: string[]): EngineChoice {
  if (!command.includes("PORT")) {
    warnings.push("--server-command does not name $PORT, on which its server has to listen");
  }
  return { name: "command", command };
}

/** Without a path it is the server's address, and the API is where all of them have it. */
function readServer(text: string, key: string | undefined, warnings: string[]): Endpoint {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || (url.protocol !== "http:" && url.protocol !== "https:")) {
    throw new UserError(`--server-url ${text} is no address. Write it like http://127.0.0.1:11434/v1.`);
  }
  if (url.username !== "" || url.password !== "") {
    throw new UserError("--server-url must not contain a user name or password. Set POOLKEEPER_SERVER_KEY.");
  }
  if (url.protocol === "http:" && !isLoopback(url.hostname)) {
    warnings.push("the model server's address is http: prompts travel unencrypted; use https");
  }
  const path = url.pathname.replace(/\/+$/, "");
  return {
    baseUrl: `${url.origin}${path === "" ? "/v1" : path}`,
    apiKey: readServerKey(key),
  };
}

/** What no header can hold would be quoted in the error of the first request. */
function readServerKey(text: string | undefined): string | null {
  const key = text?.trim() ?? "";
  if (isToken(key)) return key;
  if (key === "") return null;
  throw new UserError("POOLKEEPER_SERVER_KEY has characters that no key has.");
}

function isToken(text: string): boolean {
  return /^[\x21-\x7e]+$/.test(text);
}

function readNumber(
  flag: string,
  text: string | undefined,
  byDefault: number,
  min: number,
  max: number,
): number {
  if (text === undefined) return byDefault;
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= min && value <= max) return value;
  throw new UserError(`${flag} ${text} must be a whole number from ${min} to ${max}.`);
}

/** launchd and config files pass `~` on as it is; a shell has replaced it before. */
function expandHome(path: string): string {
  return path === "~" || path.startsWith("~/") ? join(homedir(), path.slice(1)) : path;
}

function expandHomeInSource(source: string): string {
  const at = source.indexOf("=");
  return at < 0 ? source : `${source.slice(0, at + 1)}${expandHome(source.slice(at + 1))}`;
}
