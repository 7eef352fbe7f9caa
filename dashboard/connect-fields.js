/** @import { Snapshot } from "./snapshot.js" */
import { connectCommand, modelToTry } from "./commands.js";
import { byId, elementOf, setText } from "./dom.js";
import { byModel } from "./lists.js";
import { sourceOf, sourceOptions, SOURCES } from "./model-sources.js";

/** Which model a machine is to be connected with, and where that is: the command beside a new token follows. */

const fields = byId("connect-fields");
const model = elementOf(HTMLSelectElement, "connect-model");
const source = elementOf(HTMLSelectElement, "connect-source");
const place = elementOf(HTMLInputElement, "connect-place");
const context = elementOf(HTMLInputElement, "connect-context");

for (const { value, label } of SOURCES) source.append(new Option(label, value));
model.addEventListener("input", write);
source.addEventListener("input", () => {
  // What was typed for one is nothing to another.
  place.value = "";
  write();
});
place.addEventListener("input", write);
context.addEventListener("input", write);

/** @param {Snapshot | null} snapshot whose models can be chosen */
export function showConnectFields(snapshot) {
  fields.hidden = false;
  const chosen = modelToTry(snapshot);
  const pools = byModel(snapshot?.utilization.model_pools.pools ?? []);
  const models = pools.length === 0 ? [chosen] : pools.map(({ model_id }) => model_id);
  model.replaceChildren(...models.map((id) => new Option(id, id, false, id === chosen)));
  place.value = context.value = "";
  write();
}

export function hideConnectFields() {
  fields.hidden = true;
}

function write() {
  const chosen = sourceOf(source.value);
  setText(byId("connect-asks"), chosen.asks);
  place.placeholder = chosen.example(model.value);
  const options = sourceOptions(chosen, model.value, place.value, context.value);
  setText(byId("secret-command"), connectCommand(location.origin, options));
}
