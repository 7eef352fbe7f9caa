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

export function wrongToken() {
  return new ApiError("This is not the admin token of this coordinator.", { isLocked: true });
}

/**
 * @param {Response} response
 * @returns {Promise<ApiError>}
 */
export async function refusal(response) {
  if (response.status === 401) return wrongToken();
  /** @type {unknown} */
  const body = await response.json().catch(() => null);
  const { message, ...said } = saidBy(body);
  const isLocked = response.status === 403;
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
