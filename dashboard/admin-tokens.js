/** @import { Warning } from "./confirm.js" */
/** @import { DetailLine } from "./details.js" */
/** @import { Order } from "./lists.js" */
import { clock, date } from "./format.js";
import { compareNames, sortedBy } from "./lists.js";

/** What the page says of named admin tokens. The one of the coordinator's secrets is not among them. */

/**
 * One row of `GET /v1/admin/admin-tokens`.
 * @typedef {object} AdminTokenRow
 * @property {string} id
 * @property {string} name
 * @property {"read" | "admin"} scope
 * @property {number} created_at
 */

/**
 * @typedef {object} AdminLine
 * @property {string} id
 * @property {string} name
 * @property {string} owner nobody: they belong to no account
 * @property {AdminTokenRow} row
 */

/** @typedef {"name" | "scope" | "created"} AdminSort */

/**
 * @param {readonly AdminTokenRow[]} rows
 * @returns {AdminLine[]}
 */
export function adminLines(rows) {
  return rows.map((row) => ({ id: row.id, name: row.name, owner: "", row }));
}

/** @param {AdminTokenRow} row */
export const scopeText = ({ scope }) => (scope === "admin" ? "change everything" : "only read");

/**
 * @param {AdminLine} line
 * @returns {DetailLine[]}
 */
export function adminDetails({ row }) {
  const { id, created_at: at } = row;
  return [
    { name: "May", value: scopeText(row) },
    { name: "Id", value: id },
    { name: "Made", value: `${date(at)}, ${clock(at, undefined, "short")}` },
  ];
}

/**
 * @param {AdminLine} line
 * @returns {Warning}
 */
export function adminRevocation({ id, name }) {
  return {
    title: `Revoke ${name}?`,
    text:
      "Nothing can be changed with it from this moment on, and within about a minute nothing be read. It cannot be " +
      `taken back. Its id is ${id}.`,
    verb: "Revoke",
  };
}

/** @param {AdminLine} line */
export const adminRevoked = ({ name }) =>
  `The admin token ${name} is revoked. It may be read with for about a minute more.`;

/** @type {Readonly<Record<AdminSort, (one: AdminLine, other: AdminLine) => number>>} */
const COMPARED = {
  name: (one, other) => compareNames(one.name, other.name),
  scope: (one, other) => compareNames(one.row.scope, other.row.scope),
  created: (one, other) => one.row.created_at - other.row.created_at,
};

/**
 * @param {readonly AdminLine[]} lines
 * @param {Order<AdminSort>} order
 */
export function sortedAdmins(lines, { key, isDescending }) {
  return sortedBy(lines, COMPARED[key], isDescending);
}
