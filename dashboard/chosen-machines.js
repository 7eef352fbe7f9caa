/** @import { Snapshot } from "./snapshot.js" */
import { act } from "./action.js";
import { BULK_CHOICES, bulkObstacle, bulkSentence, bulkWarning } from "./bulk-orders.js";
import { confirmed } from "./confirm.js";
import { byId, elementOf, make, report, setText } from "./dom.js";
import { many } from "./format.js";
import { refusalOf } from "./machine-orders.js";

/** The machines that were chosen in the table, and the order for all of them. It is tried dry first, and then asked about. */

const form = elementOf(HTMLFormElement, "bulk");
const controls = elementOf(HTMLFieldSetElement, "bulk-controls");
const order = elementOf(HTMLSelectElement, "bulk-order");
const model = elementOf(HTMLSelectElement, "bulk-model");
const told = byId("bulk-report");

/** @type {Set<string>} */
const chosen = new Set();
/** @type {() => void} */
let changed = () => {};

for (const { value, label } of BULK_CHOICES) order.append(new Option(label, value));
order.addEventListener("input", showModel);
byId("bulk-none").addEventListener("click", () => {
  chosen.clear();
  show();
  byId("machines-title").focus();
});
form.addEventListener("submit", (event) => {
  event.preventDefault();
  void give();
});

/** @param {() => void} render to be called when others are chosen */
export function whenChosen(render) {
  changed = render;
}

/** @param {Iterable<string>} ids beside those that are chosen already */
export function choose(ids) {
  for (const id of ids) chosen.add(id);
  report(told, "", false);
  show();
}

/**
 * The box by which a machine is chosen. It stands behind the name, which the row is called by.
 * @param {HTMLElement} cell
 * @returns {(line: { readonly id: string }) => void}
 */
export function chooser(cell) {
  const box = cell.appendChild(make("input", "choose"));
  box.type = "checkbox";
  box.dataset["changes"] = "";
  let id = "";
  box.addEventListener("change", () => {
    if (box.checked) chosen.add(id);
    else chosen.delete(id);
    report(told, "", false);
    show();
  });
  return (line) => {
    id = line.id;
    box.ariaLabel = `Choose ${id}`;
    box.checked = chosen.has(id);
  };
}

/** @param {Snapshot} snapshot in which the machines are, and the models that they may be given */
export function chooseAmong({ utilization: { model_pools: pools } }) {
  const known = new Set(pools.machines.map(({ machine_id }) => machine_id));
  for (const id of chosen) if (!known.has(id)) chosen.delete(id);
  const models = pools.pools.map(({ model_id }) => model_id);
  const offered = [...model.options].map(({ value }) => value);
  if (offered.join("\n") !== models.join("\n")) {
    const before = model.value;
    model.replaceChildren(...models.map((id) => new Option(id)));
    if (models.includes(before)) model.value = before;
  }
  show();
}

function show() {
  form.hidden = chosen.size === 0;
  setText(byId("bulk-count"), `${many(chosen.size, "machine")} chosen`);
  showModel();
  changed();
}

function showModel() {
  model.hidden = order.value !== "pin";
}

async function give() {
  const name = BULK_CHOICES.find(({ value }) => value === order.value)?.value ?? "pin";
  const asked = { order: name, machines: [...chosen], ...(name === "pin" && { model_id: model.value }) };
  const place = { controls, report: told };
  const dry = await act(place, (api) => api.orderMany(asked, true), {
    done: bulkObstacle,
    failed: refusalOf,
  });
  if (!dry.ok || dry.answer.accepted === 0 || !(await confirmed(bulkWarning(dry.answer)))) return;
  await act(place, (api) => api.orderMany(asked, false), { done: bulkSentence, failed: refusalOf });
}
