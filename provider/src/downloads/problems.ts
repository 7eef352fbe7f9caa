import { UserError } from "../user-error.ts";
import { hubPage, shown } from "./source.ts";

/** Errors of downloads: transient ones, and those that the owner has to fix. */

/** Worth a retry. */
export class TransientError extends Error {
  override readonly name = "TransientError";
  /** From `Retry-After`; null if there was none. */
  readonly retryAfterMs: number | null;

  constructor(message: string, retryAfterMs: number | null = null) {
    super(message);
    this.retryAfterMs = retryAfterMs;
  }
}

/** All retries failed. */
export class UnreachableError extends UserError {}

/** The source has another file than the one that is wanted; retrying would not help. */
export class WrongFileError extends UserError {}

const RETRIED = new Set([408, 425, 429]);

export function isRetried(status: number): boolean {
  return RETRIED.has(status) || status >= 500;
}

/** Why a source refuses a file, and what to do about it. */
export function refusal(url: URL, status: number, hasToken: boolean): UserError {
  const page = hubPage(url);
  const what = `${shown(url)} is refused (status ${status})`;
  if (status === 401 || status === 403) {
    if (page === null)
      return new UserError(
        `${what}: it is not open to everybody. Download it by hand, or use another address.`,
      );
    return new UserError(
      hasToken
        ? `${what}: HF_TOKEN is wrong or not enough. Accept the model's terms on ${page} with the account that the token is of, and let the token read gated repositories.`
        : `${what}: the model is gated or private, or its name is wrong. Accept its terms on ${page}, make a token on https://huggingface.co/settings/tokens and set it as HF_TOKEN in the environment.`,
    );
  }
  if (status === 404 || status === 410) {
    return new UserError(
      `${what}: there is no such file. Check the address${page === null ? "" : `; ${page}/tree/main lists the files`}.`,
    );
  }
  return new UserError(`${what}.`);
}
