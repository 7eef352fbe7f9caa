/** @import { Api } from "./api.js" */
/** @import { Choice } from "./machine-orders.js" */
/** @import { MachineDetails } from "./snapshot.js" */
/** @import { Snapshot } from "./snapshot.js" */
import { act } from "./action.js";
import { confirmed } from "./confirm.js";
import { byId, elementOf, make, report, say, setHidden } from "./dom.js";
import {
  choicesFor,
  doneSentence,
  ORDER_NAMES,
  ORDERS,
  orderWarning,
  pinnedSentence,
  progressOf,
  refusalOf,
} from "./machine-orders.js";

/** The orders in a machine's dialog. The line under them follows the order that was given, refresh by refresh. */

const form = elementOf(HTMLFormElement, "orders");
const controls = elementOf(HTMLFieldSetElement, "orders-controls");
const select = elementOf(HTMLSelectElement, "orders-model");
const assign = elementOf(HTMLButtonElement, "orders-assign");
const told = byId("orders-report");

/** @type {readonly string[]} */
let catalog = [];
/** @type {MachineDetails | null} */
let shown = null;
/**
 * The epoch of the order that is followed, of the machine that is shown.
 * @type {number | null}
 */
let followed = null;
/** @type {(id: string) => void} */
let afterRemoval = () => {};

const buttons = new Map(
  ORDER_NAMES.map((order) => {
    const { label, hint } = ORDERS[order];
    const button = byId("orders-others").appendChild(make("button", "", label));
    button.type = "button";
    button.title = hint;
    button.addEventListener("click", () => void give(order));
    return [order, button];
  }),
);

form.addEventListener("submit", (event) => {
  event.preventDefault();
  void pin(select.value);
});

/** @param {Snapshot} snapshot */
export function orderWithin({ utilization }) {
  catalog = utilization.model_pools.pools.map(({ model_id }) => model_id);
}

/** @param {(id: string) => void} leave what to do when the machine that is shown is no more */
export function whenRemoved(leave) {
  afterRemoval = leave;
}

/** For another machine than before, of which nothing is known yet. */
export function clearOrders() {
  shown = null;
  followed = null;
  form.hidden = true;
  select.replaceChildren();
  report(told, "", false);
}

/** @param {MachineDetails} machine */
export function showOrders(machine) {
  const { models, obstacle, orders } = choicesFor(machine, catalog);
  shown = machine;
  form.hidden = false;
  offer(models, machine.assigned_model);
  say(byId("orders-obstacle"), obstacle);
  select.disabled = assign.disabled = obstacle !== "";
  for (const [order, button] of buttons) {
    setHidden(button, !orders.includes(order), select.disabled ? form : select);
  }
  if (followed !== null) {
    const isFailed = machine.epoch === followed && machine.order?.outcome === "failed";
    report(told, progressOf(machine, followed), isFailed);
  }
}

/**
 * The list is made anew only if it is another one, so that a choice survives a refresh.
 * @param {readonly string[]} models
 * @param {string | null} assigned
 */
function offer(models, assigned) {
  const offered = [...select.options].map(({ value }) => value);
  if (offered.length === models.length && models.every((model, index) => model === offered[index])) return;
  const chosen = select.value;
  select.replaceChildren(...models.map((model) => new Option(model)));
  const preset = models.includes(chosen) ? chosen : models.find((model) => model !== assigned);
  if (preset !== undefined) select.value = preset;
}

/** @param {string} model */
async function pin(model) {
  if (shown === null) return;
  const machine = shown;
  const { machine_id: id, epoch: before } = machine;
  await send(id, {
    call: (api) => api.pin(id, model),
    done: ({ epoch }) => pinnedSentence(machine, model, epoch),
    follows: ({ epoch }) => (epoch === before ? null : epoch),
  });
}

/** @param {Choice} order */
async function give(order) {
  if (shown === null) return;
  const { machine_id: id, epoch: before } = shown;
  if (!(await confirmed(orderWarning(order, shown)))) return;
  if (order === "remove") {
    await remove(id);
    return;
  }
  await send(id, {
    call: (api) => api.order(id, order),
    done: ({ waiting_for }) => doneSentence(order, waiting_for ?? []),
    follows: ({ epoch }) => (order === "release" && epoch !== before ? epoch : null),
  });
}

/** @param {string} id */
async function remove(id) {
  const isRemoved = await send(id, {
    call: (api) => api.removeMachine(id),
    done: () => ORDERS.remove.done,
    follows: () => null,
  });
  if (isRemoved) afterRemoval(id);
}

/**
 * @template T
 * @param {string} id
 * @param {object} what
 * @param {(api: Api) => Promise<T>} what.call
 * @param {(answer: T) => string} what.done
 * @param {(answer: T) => number | null} what.follows the epoch of an order that takes a while until it is carried out
 * @returns {Promise<boolean>} whether it was accepted
 */
async function send(id, { call, done, follows }) {
  followed = null;
  const outcome = await act({ controls, report: told }, call, { done, failed: refusalOf });
  // What came of it is no word about the machine that was opened in the meantime.
  if (shown?.machine_id !== id) report(told, "", false);
  else if (outcome.ok) followed = follows(outcome.answer);
  return outcome.ok;
}
