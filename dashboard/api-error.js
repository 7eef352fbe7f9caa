/** A call of the admin API that came to nothing: refused, or without an answer. */

export class ApiError extends Error {
  /**
   * @param {string} message for the operator
   * @param {{ isLocked?: boolean, isUnanswered?: boolean, code?: string | null, param?: string | null }} [more]
   */
  constructor(message, { isLocked = false, isUnanswered = false, code = null, param = null } = {}) {
    super(message);
    /** Whether nobody knows what came of it. */
    this.isUnanswered = isUnanswered;
    /** Whether the token is the reason. */
    this.isLocked = isLocked;
    /** The API's own word for it; null if it gave none. */
    this.code = code;
    /** The field of the body that is at fault. */
    this.param = param;
  }
}

/** @param {string} token */
export function wrongToken(token) {
  if (token.startsWith("pa_")) {
    return new ApiError("This admin token is not known to this coordinator. Was it revoked?", {
      isLocked: true,
    });
  }
  const kind = SECRETS.find(({ prefix }) => token.startsWith(prefix))?.name ?? null;
  const message =
    kind === null
      ? "This is not the admin token of this coordinator."
      : `This is ${kind}, and not the admin token of this coordinator.`;
  return new ApiError(message, { isLocked: true });
}

/** What is made under Keys, and may be taken for the token that opens the page. */
const SECRETS = [
  { prefix: "pk_", name: "an API key" },
  { prefix: "pt_", name: "a provider token" },
];

/**
 * @param {Response} response
 * @param {string} token that was sent
 * @returns {Promise<ApiError>}
 */
export async function refusal(response, token) {
  if (response.status === 401) return wrongToken(token);
  /** @type {unknown} */
  const body = await response.json().catch(() => null);
  const { message, ...said } = saidBy(body);
  // One that may only read opens the page all the same.
  const isLocked = response.status === 403 && said.code !== "read_only_token";
  return new ApiError(message ?? `the coordinator answered ${response.status}`, { isLocked, ...said });
}

/** @param {unknown} body the error's envelope, or what a proxy has put in its place */
function saidBy(body) {
  const error = typeof body === "object" && body !== null && "error" in body ? body.error : null;
  if (typeof error !== "object" || error === null) return { message: null, code: null, param: null };
  return {
    message: "message" in error ? textOf(error.message) : null,
    code: "code" in error ? textOf(error.code) : null,
    param: "param" in error ? textOf(error.param) : null,
  };
}

/** @param {unknown} value */
const textOf = (value) => (typeof value === "string" ? value : null);

/** @param {ApiError} error */
export function sentenceOf({ message }) {
  const text = message.charAt(0).toUpperCase() + message.slice(1);
  return /[.!?]$/.test(text) ? text : `${text}.`;
}
