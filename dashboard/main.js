/** @import { Snapshot } from "./snapshot.js" */
import { actWith } from "./action.js";
import { ApiError, sentenceOf } from "./api-error.js";
import { Api } from "./api.js";
import { readChangesWith, refreshChanges } from "./changes-view.js";
import { closeQuestion } from "./confirm.js";
import { interruptDialogs, resumeDialogs } from "./dialogs.js";
import { byId, elementOf, say, setText } from "./dom.js";
import { showFlags } from "./flags-view.js";
import { clock } from "./format.js";
import { expireKeys, knowFleet, readKeysWith, refreshKeys, showKeysBy } from "./key-store.js";
import { showKeys } from "./keys-view.js";
import { readMachinesWith, refreshMachine } from "./machine-dialog.js";
import { orderWithin } from "./machine-orders-view.js";
import { showMachines } from "./machines-view.js";
import { knowModels, readModelsWith } from "./model-dialog.js";
import { showPlacement } from "./placement-view.js";
import { showPools } from "./pools-view.js";
import { Refresher } from "./refresher.js";
import "./replay-view.js";
import { showRefused } from "./refused-dials-view.js";
import { useRights } from "./rights.js";
import { readSnapshot } from "./snapshot.js";
import { forget, forgetAll, keep, kept } from "./tab-memory.js";
import { showWhatIf } from "./what-if-view.js";

/** The operator's page: a login, and then the fleet, read again and again while somebody looks. */

const REFRESH_MS = 5_000;

const login = byId("login");
const board = byId("board");
const input = elementOf(HTMLInputElement, "token");
const submit = elementOf(HTMLButtonElement, "login-submit");
const pause = elementOf(HTMLButtonElement, "pause");

/** @type {Refresher | null} */
let refresher = null;
let isPaused = kept("paused") !== null;

elementOf(HTMLFormElement, "login-form").addEventListener("submit", (event) => {
  event.preventDefault();
  void logIn(input.value.trim());
});
byId("logout").addEventListener("click", () => {
  forgetAll();
  // A page loaded anew holds nothing of the fleet any more.
  location.reload();
});
byId("refresh").addEventListener("click", () => {
  expireKeys();
  void refresher?.now();
});
pause.addEventListener("click", () => {
  isPaused = !isPaused;
  if (isPaused) keep("paused", "yes");
  else forget("paused");
  showPause();
  refresher?.look();
});
document.addEventListener("visibilitychange", () => refresher?.look());

showKeysBy(showKeys);

showPause();

const keptToken = kept("admin-token");
if (keptToken === null) lock("");
else start(keptToken);

function showPause() {
  pause.setAttribute("aria-pressed", String(isPaused));
  setText(pause, isPaused ? "Go on" : "Pause");
}

/**
 * The token is tried before it is kept, so that a wrong one is told at once.
 * @param {string} token
 */
async function logIn(token) {
  setText(byId("login-problem"), "");
  submit.disabled = true;
  setText(submit, "Logging in …");
  try {
    await new Api(token).flags();
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    setText(byId("login-problem"), sentenceOf(error));
    input.select();
    return;
  } finally {
    submit.disabled = false;
    setText(submit, "Log in");
  }
  keep("admin-token", token);
  input.value = "";
  start(token);
}

/**
 * Covers the page, and loses nothing that was typed there.
 * @param {string} why empty at first
 */
function lock(why) {
  forget("admin-token");
  refresher?.stop();
  refresher = null;
  closeQuestion();
  interruptDialogs();
  board.hidden = true;
  login.hidden = false;
  document.title = "Poolkeeper";
  setText(byId("login-problem"), why);
  input.focus();
}

/** @param {string} token */
function start(token) {
  login.hidden = true;
  board.hidden = false;
  board.classList.add("unread");
  const api = new Api(token);
  readMachinesWith(api);
  readModelsWith(api);
  readKeysWith(api);
  readChangesWith(api);
  /** @type {Snapshot | null} */
  let known = null;
  const read = async () => {
    try {
      const [snapshot, who] = await Promise.all([
        readSnapshot(api, known, Date.now()),
        known === null ? api.whoami() : null,
      ]);
      if (refresher !== own) return;
      if (who !== null) useRights(who);
      const isFirst = known === null;
      known = snapshot;
      show(snapshot);
      if (isFirst) goToPart();
      resumeDialogs();
      // It may take longer than the fleet, which need not wait for it.
      void refreshKeys();
      void refreshChanges();
      await refreshMachine();
    } catch (error) {
      if (refresher === own) showProblem(error, known);
    }
  };
  const own = new Refresher(read, REFRESH_MS, () => document.visibilityState === "visible" && !isPaused);
  refresher = own;
  actWith({ api, readAnew: () => void own.anew(), lock });
  void own.now();
}

/** The browser has looked for the part that the address names before the page had its tables, or at the login. */
function goToPart() {
  if (location.hash !== "") document.getElementById(location.hash.slice(1))?.scrollIntoView();
}

/** @param {Snapshot} snapshot */
function show(snapshot) {
  showPools(snapshot);
  showMachines(snapshot);
  showRefused(snapshot);
  showPlacement(snapshot);
  showWhatIf(snapshot);
  showFlags(snapshot);
  orderWithin(snapshot);
  knowModels(snapshot);
  knowFleet(snapshot);
  board.classList.remove("unread", "stale");
  setText(byId("status"), `Updated ${clock(Date.now())}`);
  say(byId("problem"), "");
}

/**
 * What was read last stays on the page, and is marked as old.
 * @param {unknown} error
 * @param {Snapshot | null} known
 */
function showProblem(error, known) {
  if (error instanceof ApiError && error.isLocked) {
    lock(sentenceOf(error));
    return;
  }
  const isAnswer = error instanceof ApiError;
  const what = isAnswer ? sentenceOf(error) : "This page does not understand the answer. Load it again.";
  if (!isAnswer) reportError(error);
  if (known !== null) board.classList.add("stale");
  const old = known === null ? "" : ` What is shown is as of ${clock(known.utilization.at)}.`;
  setText(byId("status"), known === null ? "Nothing read yet" : `Stale, ${clock(known.utilization.at)}`);
  say(byId("problem"), `${what}${old}`);
}
