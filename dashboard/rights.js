import { byId, say } from "./dom.js";

/**
 * What the token that the page was opened with is good for. With one that may only read, whatever would change something is
 * closed: buttons and forms that bear `data-changes` are not there, and fieldsets that do show what is in them.
 */

/** `GET /v1/admin/whoami`. @typedef {{ token_id: string | null, token_name: string, scope: "read" | "admin" }} Who */

let isReader = false;

/** @param {Who} who */
export function useRights({ token_name: name, scope }) {
  isReader = scope === "read";
  document.body.classList.toggle("read-only", isReader);
  for (const fieldset of document.querySelectorAll("fieldset[data-changes]")) {
    if (fieldset instanceof HTMLFieldSetElement) fieldset.disabled = isReader;
  }
  say(
    byId("rights"),
    isReader ? `The token ${name} may only read: what would change something is closed.` : "",
  );
}

export const mayChange = () => !isReader;
