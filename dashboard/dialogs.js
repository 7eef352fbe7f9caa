/** What the dialogs over the page have in common: a click beside one closes it, and all make way for the login. */

/** @type {HTMLDialogElement[]} */
const interrupted = [];

/**
 * A click beside the dialog hits the dialog's own element, since all that is in it lies in others.
 * @param {HTMLDialogElement} dialog
 * @param {() => boolean} [mayClose]
 */
export function closeBeside(dialog, mayClose = () => true) {
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog && mayClose()) dialog.close();
  });
}

/** Makes way for the login, which lies under them. */
export function interruptDialogs() {
  for (const dialog of document.querySelectorAll("dialog")) {
    if (!dialog.open) continue;
    dialog.close();
    interrupted.push(dialog);
  }
}

/**
 * Whether it is to come back after the login, so that nothing in it may be forgotten.
 * @param {HTMLDialogElement} dialog
 */
export const isInterrupted = (dialog) => interrupted.includes(dialog);

/** They come back as they were. */
export function resumeDialogs() {
  for (const dialog of interrupted.splice(0)) dialog.showModal();
}
