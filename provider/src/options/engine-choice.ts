import type { Endpoint } from "../engines/server/endpoint.ts";
import { isLoopback } from "../loopback.ts";
import type { ModelForm } from "../models.ts";
import { UserError } from "../user-error.ts";
import { isToken } from "./secrets.ts";
import { readNumber } from "./values.ts";

/** Which engine the command line asks for. */

export type EngineChoice =
  | { readonly name: "llama" | "echo" }
  /** A server that is started for each model. */
  | { readonly name: "command"; readonly command: string }
  /** A server that runs anyway. */
  | { readonly name: "attached"; readonly endpoint: Endpoint };

/** What stands after the id in `--model`. */
export const MODEL_FORMS: Readonly<Record<EngineChoice["name"], ModelForm>> = {
  llama: "files",
  echo: "ids",
  command: "files or names",
  attached: "names",
};

const MAX_THREADS = 256;

interface EngineFlags {
  readonly engine?: string | undefined;
  readonly "server-command"?: string | undefined;
  readonly "server-url"?: string | undefined;
  readonly "models-dir"?: readonly string[] | undefined;
}

/**
 * @param serverKey for the server of `--server-url`.
 * @throws UserError
 */
export function readEngine(
  { engine, "server-command": command, "server-url": url, "models-dir": directories }: EngineFlags,
  serverKey: string | undefined,
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
    return { name: "attached", endpoint: readServer(url, serverKey, warnings) };
  }
  if (engine === undefined || engine === "llama") return { name: "llama" };
  if (engine === "echo") return { name: "echo" };
  throw new UserError(
    `--engine ${engine} is not known. There are llama and echo; others with --server-command or --server-url.`,
  );
}

/** Null: the engine decides. @throws UserError */
export function readThreads(
  text: string | undefined,
  { name }: EngineChoice,
  warnings: string[],
): number | null {
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
