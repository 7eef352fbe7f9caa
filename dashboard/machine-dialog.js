/** @import { Api } from "./api.js" */
/** @import { MachineDetails } from "./snapshot.js" */
import { ApiError, sentenceOf } from "./api-error.js";
import { showDetails } from "./details.js";
import { closeBeside } from "./dialogs.js";
import { byId, elementOf, report, say, setText } from "./dom.js";
import { keysKnown } from "./key-store.js";
import { detailLines } from "./machine-details.js";
import { clearOrders, showOrders, whenRemoved } from "./machine-orders-view.js";

/** One machine in full, over the page, with the orders for it. It is read anew at each refresh while it is open. */

const dialog = elementOf(HTMLDialogElement, "machine");

/** @type {Api | null} */
let api = null;
let shown = "";

byId("machine-close").addEventListener("click", () => dialog.close());
closeBeside(dialog);

whenRemoved((id) => {
  report(byId("machines-report"), `${id} is removed.`, false);
  if (id !== shown || !dialog.open) return;
  dialog.close();
  // What has opened the dialog goes with the machine's row.
  byId("machines-title").focus();
});

/** @param {Api} granted with whose token machines are read */
export function readMachinesWith(granted) {
  api = granted;
}

/** @param {string} id */
export function openMachine(id) {
  shown = id;
  setText(byId("machine-title"), id);
  byId("machine-details").replaceChildren();
  say(byId("machine-problem"), "");
  report(byId("machines-report"), "", false);
  clearOrders();
  dialog.showModal();
  void refreshMachine();
}

export async function refreshMachine() {
  if (!dialog.open || api === null) return;
  const id = shown;
  try {
    const machine = await api.machine(id);
    if (id !== shown) return;
    show(machine);
    say(byId("machine-problem"), "");
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (id === shown) showProblem(error);
  }
}

/** @param {ApiError} error */
function showProblem(error) {
  const problem = byId("machine-problem");
  if (error.code !== "not_found") {
    say(problem, sentenceOf(error));
    return;
  }
  // Nothing can be ordered of it any more; what was known of it stays to be read.
  clearOrders();
  const isKnown = byId("machine-details").childElementCount > 0;
  say(problem, `Somebody has removed it.${isKnown ? " This is how it was." : ""}`);
}

/** @param {MachineDetails} machine */
function show(machine) {
  showOrders(machine);
  const token = keysKnown().tokens.find(({ id }) => id === machine.token_id);
  showDetails(byId("machine-details"), detailLines(machine, token?.name));
}
