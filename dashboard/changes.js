import { moment, sentence, shortened } from "./format.js";

/** What the table of changes says. */

/**
 * One row of `GET /v1/admin/audit`.
 * @typedef {object} ChangeRow
 * @property {number} id
 * @property {number} at
 * @property {string | null} request_id
 * @property {string | null} token_id
 * @property {string | null} token_name
 * @property {string | null} address
 * @property {string} method
 * @property {string} path
 * @property {string} what
 * @property {"done" | "refused" | "unknown"} outcome
 * @property {number | null} status
 * @property {string | null} code
 * @property {Readonly<Record<string, unknown>> | null} before
 * @property {Readonly<Record<string, unknown>> | null} after
 */

/** @typedef {{ changes: readonly ChangeRow[], next_cursor: string | null }} ChangePage */

/**
 * @typedef {object} ChangeLine
 * @property {string} id
 * @property {string} at
 * @property {string} requestId
 * @property {string} who
 * @property {string} from
 * @property {string} what
 * @property {string} differs
 * @property {string} outcome
 * @property {string} reason
 * @property {"good" | "bad" | "unknown"} tone
 */

/**
 * @param {readonly ChangeRow[]} rows
 * @param {number} now
 * @param {string} [timeZone]
 * @returns {ChangeLine[]}
 */
export function changeLines(rows, now, timeZone) {
  return rows.map((row) => ({
    id: String(row.id),
    at: moment(row.at, now, timeZone),
    requestId: shortened(row.request_id ?? ""),
    who: row.token_name ?? "not known",
    from: row.address ?? "",
    what: sentence(row.what),
    differs: differenceText(row.before, row.after),
    ...OUTCOMES[row.outcome],
    reason: reasonOf(row),
  }));
}

/** @type {Readonly<Record<ChangeRow["outcome"], Pick<ChangeLine, "outcome" | "tone">>>} */
const OUTCOMES = {
  done: { outcome: "done", tone: "good" },
  refused: { outcome: "refused", tone: "bad" },
  unknown: { outcome: "not known", tone: "unknown" },
};

/** @param {ChangeRow} row */
function reasonOf({ status, code }) {
  return code ?? (status === null || status < 400 ? "" : String(status));
}

/**
 * What is other than before: of something new what it is, of something gone what it was.
 * @param {ChangeRow["before"]} before
 * @param {ChangeRow["after"]} after
 */
export function differenceText(before, after) {
  if (before === null || after === null) {
    const fields = Object.entries(after ?? before ?? {}).map(
      ([name, value]) => `${name} ${valueText(value)}`,
    );
    return fields.length > 0 && after === null ? `was: ${fields.join("; ")}` : fields.join("; ");
  }
  const names = new Set([...Object.keys(before), ...Object.keys(after)]);
  return [...names]
    .map((name) => `${name} ${valueText(before[name])} → ${valueText(after[name])}`)
    .join("; ");
}

/** A longer value is in the API. */
const SHOWN_CHARS = 200;

/** @param {unknown} value */
function valueText(value) {
  const text = textOf(value);
  return text.length > SHOWN_CHARS ? `${text.slice(0, SHOWN_CHARS)}…` : text;
}

/**
 * @param {unknown} value
 * @returns {string}
 */
function textOf(value) {
  if (value === null || value === undefined) return "none";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value === "string") return value === "" ? "empty" : value;
  if (!Array.isArray(value)) return JSON.stringify(value);
  return value.length === 0 ? "none" : value.map(textOf).join(", ");
}
