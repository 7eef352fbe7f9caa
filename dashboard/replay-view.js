/** @import { Api } from "./api.js" */
import { act } from "./action.js";
import { byId, elementOf } from "./dom.js";

/** A day of this fleet as two files, to be replayed by the simulator under other policies, machines or models. */

const controls = elementOf(HTMLFieldSetElement, "replay-controls");
const days = elementOf(HTMLSelectElement, "replay-days");

/** As many as the coordinator keeps. */
const DAYS_MAX = 8;

for (let day = 1; day <= DAYS_MAX; day += 1) days.append(new Option(String(day)));
byId("replay-demand").addEventListener(
  "click",
  () => void save("demand.csv", (api) => api.demand(days.value)),
);
byId("replay-fleet").addEventListener(
  "click",
  () => void save("fleet.json", (api) => api.demandFleet(days.value)),
);

/**
 * @param {string} name
 * @param {(api: Api) => Promise<Blob>} read
 */
async function save(name, read) {
  const outcome = await act({ controls, report: byId("replay-report") }, read, {
    done: () => `${name} is saved.`,
  });
  if (!outcome.ok) return;
  const link = document.createElement("a");
  link.href = URL.createObjectURL(outcome.answer);
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}
