/** @import { PlacementReport } from "../core/fleet/placement-report.ts" */
/** @import { FlagView } from "../core/fleet/settings.ts" */
/** @import { Utilization } from "../core/fleet/utilization.ts" */
/** @import { MachineDetails, UsageRow } from "./snapshot.js" */

/** Calls of the admin API with the operator's token, which lives as long as the tab and nowhere but in it. */

const TOKEN_KEY = "poolkeeper-admin-token";

/** Longer than Fleet waits for its slowest pool. */
const ANSWER_LIMIT_MS = 15_000;

/** An answer that was none, or a refusal; the message is for the operator. */
export class ApiError extends Error {
  /**
   * @param {string} message
   * @param {boolean} isLocked whether the token is the reason
   */
  constructor(message, isLocked) {
    super(message);
    this.isLocked = isLocked;
  }
}

export class Api {
  #token;

  /** @param {string} token */
  constructor(token) {
    this.#token = token;
  }

  /** @returns {Promise<Utilization>} */
  utilization() {
    return this.#get("utilization");
  }

  /** @returns {Promise<PlacementReport>} */
  placement() {
    return this.#get("placement");
  }

  /** @returns {Promise<{ flags: readonly FlagView[] }>} */
  flags() {
    return this.#get("flags");
  }

  /** @returns {Promise<{ usage: readonly UsageRow[] }>} of a day */
  usage() {
    return this.#get("usage?days=1");
  }

  /**
   * @param {string} id
   * @returns {Promise<MachineDetails>}
   */
  machine(id) {
    return this.#get(`machines/${encodeURIComponent(id)}`);
  }

  /**
   * The page came from the same coordinator as the answer, so the shape is taken on trust; what does not fit after a
   * deploy is noticed where it is shown.
   * @template T
   * @param {string} path below `/v1/admin/`
   * @returns {Promise<T>}
   * @throws {ApiError}
   */
  async #get(path) {
    /** @type {Response} */
    let response;
    try {
      response = await fetch(`/v1/admin/${path}`, {
        headers: { authorization: `Bearer ${this.#token}` },
        cache: "no-store",
        signal: AbortSignal.timeout(ANSWER_LIMIT_MS),
      });
    } catch {
      throw new ApiError("the coordinator does not answer", false);
    }
    if (!response.ok) throw await refusal(response);
    try {
      // oxlint-disable-next-line typescript/no-unsafe-return -- the one place where answers get their types
      return await response.json();
    } catch {
      throw new ApiError("the coordinator's answer broke off", false);
    }
  }
}

/** @param {Response} response */
async function refusal(response) {
  if (response.status === 401) return new ApiError("This is not the admin token of this coordinator.", true);
  const said = await response.json().then(messageOf, () => null);
  const message = said ?? `the coordinator answered ${response.status}`;
  return new ApiError(message, response.status === 403);
}

/**
 * @param {unknown} body the error's envelope, or what a proxy has put in its place
 * @returns {string | null}
 */
function messageOf(body) {
  if (typeof body !== "object" || body === null || !("error" in body)) return null;
  const { error } = body;
  if (typeof error !== "object" || error === null || !("message" in error)) return null;
  return typeof error.message === "string" ? error.message : null;
}

/** @returns {string | null} */
export const keptToken = () => sessionStorage.getItem(TOKEN_KEY);

/** @param {string} token */
export const keepToken = (token) => sessionStorage.setItem(TOKEN_KEY, token);

export const forgetToken = () => sessionStorage.removeItem(TOKEN_KEY);
