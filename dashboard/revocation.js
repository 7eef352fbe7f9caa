/** @import { Warning } from "./confirm.js" */
/** @import { KeyLine, TokenLine } from "./keys.js" */
/** @import { Snapshot } from "./snapshot.js" */
import { many, someOf } from "./format.js";
import { withUnknownToken } from "./keys.js";

/** What becomes of those who use a key or a token that is revoked, to be read before it is. */

/**
 * @param {KeyLine} line
 * @returns {Warning}
 */
export function keyRevocation({ id, name, owner, use }) {
  const used =
    use === null || use.requests === 0 ? "" : ` It had ${many(use.requests, "request")} in the last day.`;
  return {
    title: `Revoke ${name} of ${owner}?`,
    text:
      "Whoever sends it is refused, within about a minute everywhere. Requests that run are not cut. It cannot be " +
      `taken back: they need another key.${used} Its id is ${id}.`,
    verb: "Revoke",
  };
}

/**
 * @param {TokenLine} line
 * @param {Snapshot | null} snapshot
 * @returns {Warning}
 */
export function tokenRevocation({ id, name, owner, machines }, snapshot) {
  return {
    title: `Revoke ${name} of ${owner}?`,
    text:
      "The sockets that were dialed with it are closed at once (4005) and their providers end; what runs there is " +
      "tried on another machine, or ends with an error. It cannot be taken back: these machines need another token. " +
      `${whoseText(machines)}${unknownText(owner, withUnknownToken(owner, snapshot))} Its id is ${id}.`,
    verb: "Revoke",
  };
}

/** @param {readonly string[]} machines that are connected with it */
function whoseText(machines) {
  if (machines.length === 0) return "No machine is connected with it now.";
  const connected = machines.length === 1 ? "is 1 machine" : `are ${many(machines.length, "machine")}`;
  return `Connected with it ${connected}: ${someOf(machines)}.`;
}

/**
 * @param {string} owner
 * @param {readonly string[]} machines that may have come with it
 */
function unknownText(owner, machines) {
  return machines.length === 0
    ? ""
    : ` With this token or another one of ${owner}, nobody knows: ${someOf(machines)}.`;
}

/** @param {{ readonly name: string, readonly owner: string }} line */
export const keyRevoked = ({ name, owner }) =>
  `The key ${name} of ${owner} is revoked. It may work for about a minute more.`;

/** @param {{ readonly name: string, readonly owner: string }} line */
export const tokenRevoked = ({ name, owner }) =>
  `The token ${name} of ${owner} is revoked, and its sockets are closed.`;
