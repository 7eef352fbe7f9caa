import { readFileSync, statSync } from "node:fs";
import { resolve } from "node:path";

import { reasonOf } from "../reason.ts";
import { UserError } from "../user-error.ts";
import { expandHome } from "./values.ts";

/** What lets this machine in: at the coordinator, and at Hugging Face. */

/** The provider token, from the one place that has it. @throws UserError */
export function readToken(
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
export function readHubToken(text: string | undefined, warnings: string[]): string | null {
  const token = text?.trim() ?? "";
  if (isToken(token)) return token;
  if (token !== "") warnings.push("HF_TOKEN is not used: it has characters that no token has");
  return null;
}

/** Whether a header can carry it. */
export function isToken(text: string): boolean {
  return /^[\x21-\x7e]+$/.test(text);
}
