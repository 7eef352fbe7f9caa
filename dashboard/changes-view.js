/** @import { Api } from "./api.js" */
/** @import { ChangeLine, ChangePage } from "./changes.js" */
/** @import { Column } from "./table.js" */
import { ApiError, sentenceOf } from "./api-error.js";
import { ChangeList } from "./change-list.js";
import { changeLines } from "./changes.js";
import { byId, elementOf, say } from "./dom.js";
import { Table, text } from "./table.js";

/** The log of changes on the page. It is read while it is on the screen, and searched by the coordinator. */

/** @type {readonly Column<ChangeLine>[]} */
const COLUMNS = [
  {
    label: "When",
    kind: "head",
    fill: text(
      ({ at }) => at,
      ({ requestId }) => requestId,
    ),
  },
  {
    label: "Who",
    fill: text(
      ({ who }) => who,
      ({ from }) => from,
    ),
  },
  {
    label: "What was asked for",
    kind: "wide",
    fill: text(
      ({ what }) => what,
      ({ differs }) => differs,
    ),
  },
  {
    label: "Outcome",
    fill: text(
      ({ outcome }) => outcome,
      ({ reason }) => reason,
      ({ tone }) => `sign ${tone}`,
    ),
  },
];

/** Whoever types is not done with each letter. */
const TYPING_MS = 300;

const filter = elementOf(HTMLInputElement, "changes-filter");
const more = elementOf(HTMLButtonElement, "changes-more");
const table = new Table(byId("changes-table"), COLUMNS, ({ id }) => id);
const list = new ChangeList();

/** @type {Api | null} */
let api = null;
let isOnScreen = false;
let isRead = false;
/** Counts what was looked for: the answer to an earlier question is none to the present one. */
let question = 0;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let typing;

filter.addEventListener("input", () => {
  clearTimeout(typing);
  question += 1;
  more.disabled = true;
  typing = setTimeout(() => {
    list.clear();
    void refreshChanges();
  }, TYPING_MS);
});
more.addEventListener("click", () => {
  if (list.next !== null) void read(list.next, (page) => list.add(page));
});
new IntersectionObserver((entries) => {
  isOnScreen = entries.at(-1)?.isIntersecting === true;
  if (!isRead) void refreshChanges();
}).observe(byId("changes"));

/** @param {Api} granted with whose token the log is read */
export function readChangesWith(granted) {
  api = granted;
}

/** To be called at each refresh. */
export async function refreshChanges() {
  if (isOnScreen) await read(null, (page) => list.take(page));
}

/**
 * @param {string | null} cursor
 * @param {(page: ChangePage) => void} keep
 */
async function read(cursor, keep) {
  if (api === null) return;
  const asked = question;
  try {
    const page = await api.changes(filter.value.trim(), cursor);
    if (asked !== question) return;
    keep(page);
    isRead = true;
    more.disabled = false;
    say(byId("changes-problem"), "");
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (asked === question) say(byId("changes-problem"), sentenceOf(error));
  }
  show();
}

function show() {
  const lines = changeLines(list.rows, Date.now());
  table.show(lines);
  byId("changes-part").hidden = list.next === null;
  const isEmpty = isRead && lines.length === 0;
  byId("changes-none").hidden = !isEmpty || filter.value.trim() === "";
  byId("changes-empty").hidden = !isEmpty || filter.value.trim() !== "";
}
