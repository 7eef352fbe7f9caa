/** @import { Api } from "./api.js" */
import { ApiError, sentenceOf } from "./api-error.js";
import { report } from "./dom.js";

/**
 * The one way in which the page asks the coordinator to do something. While it is under way its controls are closed, so
 * that nothing is ordered twice. What came of it stands where it was asked for, and the fleet is read anew. What was
 * typed stays, whatever goes wrong: a refused token only covers the page with the login.
 */

/**
 * @typedef {object} Session
 * @property {Api} api
 * @property {() => void} readAnew
 * @property {(why: string) => void} lock
 */

/**
 * @typedef {object} Place where an action is asked for
 * @property {HTMLFieldSetElement} controls
 * @property {HTMLElement} report
 */

/**
 * @template T
 * @typedef {{ ok: true, answer: T } | { ok: false, error: ApiError }} Outcome
 */

/** @type {Session | null} */
let session = null;

/** @param {Session} granted */
export function actWith(granted) {
  session = granted;
}

/**
 * @template T
 * @param {Place} place
 * @param {(api: Api) => Promise<T>} send
 * @param {{ done: (answer: T) => string, failed?: (error: ApiError) => string }} said what is reported
 * @returns {Promise<Outcome<T>>}
 */
export async function act(place, send, { done, failed = sentenceOf }) {
  if (session === null) return { ok: false, error: new ApiError("nobody is logged in") };
  const { api, readAnew, lock } = session;
  const reopen = close(place.controls);
  report(place.report, "", false);
  try {
    const answer = await send(api);
    report(place.report, done(answer), false);
    readAnew();
    return { ok: true, answer };
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (error.isLocked) {
      report(place.report, `${sentenceOf(error)} Nothing was changed.`, true);
      lock(sentenceOf(error));
    } else report(place.report, failed(error), true);
    return { ok: false, error };
  } finally {
    reopen();
  }
}

/**
 * @param {HTMLFieldSetElement} controls
 * @returns {() => void} opens them again
 */
function close(controls) {
  const focused = document.activeElement;
  controls.disabled = true;
  controls.setAttribute("aria-busy", "true");
  return () => {
    controls.disabled = false;
    controls.removeAttribute("aria-busy");
    // A closed control loses the focus; whoever has gone elsewhere in the meantime stays there.
    const isLost = document.activeElement === null || document.activeElement === document.body;
    if (isLost && focused instanceof HTMLElement && controls.contains(focused)) focused.focus();
  };
}
