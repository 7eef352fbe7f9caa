/** @import { PlacementReport } from "../core/fleet/placement-report.ts" */
/** @import { FlagView } from "../core/fleet/flag-book.ts" */
/** @import { Utilization } from "../core/fleet/utilization.ts" */
/** @import { AdminTokenRow } from "./admin-tokens.js" */
/** @import { BulkAnswer, BulkName } from "./bulk-orders.js" */
/** @import { ChangePage } from "./changes.js" */
/** @import { KeyRow, Settings, TokenRow } from "./keys.js" */
/** @import { Entry } from "./model-entry.js" */
/** @import { Who } from "./rights.js" */
/** @import { MachineDetails, UsageRow } from "./snapshot.js" */
/** @import { Asked } from "./what-if.js" */
import { ApiError, refusal, wrongToken } from "./api-error.js";

/** Calls of the admin API with the operator's token, which lives as long as the tab and nowhere but in it. */

/** What a header can carry. What else is typed or pasted makes `fetch` fail as if nobody answered. */
const SENDABLE = /^[\x20-\xff]*$/;

/** Longer than Fleet waits for its slowest pool. */
const ANSWER_LIMIT_MS = 15_000;

/** What to say if there is no answer. */
const SILENCE = "the coordinator does not answer";
const SILENCE_AFTER_CHANGE = "no answer: it may have been done all the same";

/** @typedef {"GET" | "PUT" | "POST" | "PATCH" | "DELETE"} Method */
/** @typedef {{ owner: string, name: string }} Labels of a key or a token */
/** @typedef {"unpin" | "release" | "cordon" | "uncordon" | "quarantine" | "readmit"} Order those that name nothing but the machine */
/** By which a change is made only over the entry that was read; null if the answer had none. @typedef {string | null} Tag */
/** @typedef {Pick<PlacementReport, "models" | "moves" | "machines">} Preview */

export class Api {
  #token;

  /** @param {string} token */
  constructor(token) {
    this.#token = token;
  }

  /** @returns {Promise<Who>} */
  whoami() {
    return this.#get("whoami");
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
   * What was asked of each model, minute by minute.
   * @param {string} days
   * @returns {Promise<Blob>} CSV
   */
  demand(days) {
    return this.#file(`demand?days=${days}`);
  }

  /**
   * The machines and models that it goes with.
   * @param {string} days
   * @returns {Promise<Blob>} JSON
   */
  demandFleet(days) {
    return this.#file(`demand/fleet?days=${days}`);
  }

  /**
   * @param {string} id
   * @returns {Promise<MachineDetails>}
   */
  machine(id) {
    return this.#get(`machines/${encodeURIComponent(id)}`);
  }

  /**
   * @param {string} id
   * @returns {Promise<{ entry: Entry, tag: Tag }>}
   */
  async model(id) {
    const response = await this.#send(`catalog/${encodeURIComponent(id)}`, SILENCE, "GET");
    return { entry: await contentOf(response), tag: response.headers.get("etag") };
  }

  /**
   * Adds a model, or puts the entry in the place of the one that it has.
   * @param {string} id
   * @param {Entry} entry
   * @param {Tag} over of the entry that was read; null if none was
   * @returns {Promise<Entry>} with what stands for the fields that were left out
   */
  putModel(id, entry, over) {
    return this.#change("PUT", `catalog/${encodeURIComponent(id)}`, entry, over);
  }

  /**
   * @param {string} id
   * @param {boolean} isForced also if machines are assigned to it, which are released
   * @param {Tag} over of the entry that was read
   * @returns {Promise<{ id: string }>}
   */
  removeModel(id, isForced, over) {
    const force = isForced ? "?force=true" : "";
    return this.#change("DELETE", `catalog/${encodeURIComponent(id)}${force}`, undefined, over);
  }

  /**
   * @param {string} name
   * @param {string} value
   * @returns {Promise<FlagView & { not_released?: readonly string[] }>} as it is from now on
   */
  setFlag(name, value) {
    return this.#change("PUT", `flags/${encodeURIComponent(name)}`, { value });
  }

  /**
   * @param {string} id
   * @param {string} modelId
   * @returns {Promise<{ epoch: number }>} of the order, or of an older one for the same
   */
  pin(id, modelId) {
    return this.#change("POST", `machines/${encodeURIComponent(id)}/pin`, { model_id: modelId });
  }

  /**
   * @param {string} id
   * @param {Order} order
   * @returns {Promise<{ epoch: number, waiting_for?: readonly string[] }>} pools that have not heard of a cordon yet
   */
  order(id, order) {
    return this.#change("POST", `machines/${encodeURIComponent(id)}/${order}`);
  }

  /**
   * @param {{ order: BulkName, machines: readonly string[], model_id?: string }} asked
   * @param {boolean} isDryRun says what would come of it, and changes nothing
   * @returns {Promise<BulkAnswer>}
   */
  orderMany(asked, isDryRun) {
    return isDryRun
      ? this.#ask("machines/orders?dry_run=true", SILENCE, "POST", asked)
      : this.#change("POST", "machines/orders", asked);
  }

  /**
   * Forgets a machine that is gone.
   * @param {string} id
   * @returns {Promise<{ machine_id: string }>}
   */
  removeMachine(id) {
    return this.#change("DELETE", `machines/${encodeURIComponent(id)}`);
  }

  /**
   * The log of changes, the newest first.
   * @param {string} about what a row must have in it; empty for all
   * @param {string | null} cursor of the page before; null for the first
   * @returns {Promise<ChangePage>}
   */
  changes(about, cursor) {
    const parameters = new URLSearchParams({ limit: "50", ...(about !== "" && { about }) });
    if (cursor !== null) parameters.set("cursor", cursor);
    return this.#get(`audit?${parameters}`);
  }

  /**
   * @param {string | null} cursor of the page before; null for the first
   * @returns {Promise<{ keys: readonly KeyRow[], next_cursor: string | null }>}
   */
  keys(cursor) {
    return this.#get(`keys${pageAt(cursor)}`);
  }

  /**
   * @param {string | null} cursor
   * @returns {Promise<{ provider_tokens: readonly TokenRow[], next_cursor: string | null }>}
   */
  providerTokens(cursor) {
    return this.#get(`provider-tokens${pageAt(cursor)}`);
  }

  /**
   * @param {string | null} cursor
   * @returns {Promise<{ admin_tokens: readonly AdminTokenRow[], next_cursor: string | null }>}
   */
  adminTokens(cursor) {
    return this.#get(`admin-tokens${pageAt(cursor)}`);
  }

  /**
   * @param {Labels & Partial<Settings>} made
   * @returns {Promise<{ id: string, key: string }>} with the secret, which is never given again
   */
  makeKey(made) {
    return this.#change("POST", "keys", made);
  }

  /**
   * @param {Labels} made
   * @returns {Promise<{ id: string, token: string }>} with the secret, which is never given again
   */
  makeProviderToken(made) {
    return this.#change("POST", "provider-tokens", made);
  }

  /**
   * @param {Pick<AdminTokenRow, "name" | "scope">} made
   * @returns {Promise<{ id: string, token: string }>} with the secret, which is never given again
   */
  makeAdminToken(made) {
    return this.#change("POST", "admin-tokens", made);
  }

  /**
   * @param {string} id
   * @param {Partial<Settings>} changes what is left out stays
   * @returns {Promise<KeyRow>}
   */
  changeKey(id, changes) {
    return this.#change("PATCH", `keys/${encodeURIComponent(id)}`, changes);
  }

  /**
   * @param {"keys" | "provider-tokens" | "admin-tokens"} kind
   * @param {string} id
   * @returns {Promise<{ id: string }>}
   */
  revoke(kind, id) {
    return this.#change("DELETE", `${kind}/${encodeURIComponent(id)}`);
  }

  /**
   * It changes nothing, whatever comes of it.
   * @param {Asked} asked
   * @returns {Promise<Preview>}
   */
  simulate(asked) {
    return this.#ask("placement/simulate", SILENCE, "POST", asked);
  }

  /**
   * @template T
   * @param {string} path below `/v1/admin/`
   * @returns {Promise<T>}
   */
  #get(path) {
    return this.#ask(path, SILENCE, "GET");
  }

  /**
   * @param {string} path below `/v1/admin/`
   * @returns {Promise<Blob>}
   */
  async #file(path) {
    const response = await this.#send(path, SILENCE, "GET");
    try {
      return await response.blob();
    } catch {
      throw new ApiError("the coordinator's answer broke off", { isUnanswered: true });
    }
  }

  /**
   * @template T
   * @param {Exclude<Method, "GET">} method
   * @param {string} path below `/v1/admin/`
   * @param {object} [body]
   * @param {Tag} [over]
   * @returns {Promise<T>}
   */
  #change(method, path, body, over) {
    return this.#ask(path, SILENCE_AFTER_CHANGE, method, body, over);
  }

  /**
   * @template T
   * @param {string} path
   * @param {string} silence what to say if there is no answer
   * @param {Method} method
   * @param {object} [body]
   * @param {Tag} [over]
   * @returns {Promise<T>}
   * @throws {ApiError}
   */
  async #ask(path, silence, method, body, over) {
    return contentOf(await this.#send(path, silence, method, body, over));
  }

  /**
   * @param {string} path
   * @param {string} silence what to say if there is no answer
   * @param {Method} method
   * @param {object} [body]
   * @param {Tag} [over]
   * @returns {Promise<Response>} that is no refusal
   * @throws {ApiError}
   */
  async #send(path, silence, method, body, over = null) {
    if (!SENDABLE.test(this.#token)) throw wrongToken(this.#token);
    /** @type {Response} */
    let response;
    try {
      response = await fetch(`/v1/admin/${path}`, {
        method,
        headers: { authorization: `Bearer ${this.#token}`, ...(over !== null && { "if-match": over }) },
        ...(body !== undefined && { body: JSON.stringify(body) }),
        cache: "no-store",
        signal: AbortSignal.timeout(ANSWER_LIMIT_MS),
      });
    } catch {
      throw new ApiError(silence, { isUnanswered: true });
    }
    if (!response.ok) throw await refusal(response, this.#token);
    return response;
  }
}

/**
 * The page came from the same coordinator as the answer, so the shape is taken on trust; what does not fit after a
 * deploy is noticed where it is shown.
 * @template T
 * @param {Response} response
 * @returns {Promise<T>}
 * @throws {ApiError}
 */
async function contentOf(response) {
  try {
    // oxlint-disable-next-line typescript/no-unsafe-return -- the one place where answers get their types
    return await response.json();
  } catch {
    throw new ApiError("the coordinator's answer broke off", { isUnanswered: true });
  }
}

/** @param {string | null} cursor */
const pageAt = (cursor) => (cursor === null ? "" : `?cursor=${encodeURIComponent(cursor)}`);
