/** @import { Order } from "./api.js" */
/** @import { Warning } from "./confirm.js" */
import { count, many, someOf } from "./format.js";
import { ORDERS } from "./machine-orders.js";

/** One order for the machines that were chosen in the table: what it is, what would come of it, and what came of it. */

/** @typedef {Order | "pin"} BulkName */

/**
 * The answer of `POST /v1/admin/machines/orders`.
 * @typedef {object} BulkAnswer
 * @property {BulkName} order
 * @property {string} [model_id]
 * @property {number} accepted
 * @property {number} refused
 * @property {readonly { machine_id: string, ok: boolean, error: { code: string, message: string } | null }[]} machines
 * @property {readonly string[]} waiting_for
 */

/** @type {readonly { readonly value: BulkName, readonly label: string }[]} */
export const BULK_CHOICES = [
  { value: "pin", label: "Assign to" },
  .../** @type {const} */ (["unpin", "release", "cordon", "uncordon", "quarantine", "readmit"]).map(
    (value) => ({
      value,
      label: ORDERS[value].label,
    }),
  ),
];

/**
 * What to ask before it is given, from what a dry run has said.
 * @param {BulkAnswer} dry
 * @returns {Warning}
 */
export function bulkWarning(dry) {
  const { order, model_id: model, accepted } = dry;
  const verb = labelOf(order);
  const what =
    order === "pin"
      ? `Assign ${many(accepted, "machine")} to ${model ?? ""}?`
      : `${verb} ${many(accepted, "machine")}?`;
  const refused = dry.refused === 0 ? "" : ` ${refusedText(dry, "cannot")}`;
  return { title: what, text: `${effectOf(order)}${refused}`, verb: order === "pin" ? "Assign" : verb };
}

/** @param {BulkName} order */
function labelOf(order) {
  return BULK_CHOICES.find(({ value }) => value === order)?.label ?? order;
}

/** @param {BulkName} order */
function effectOf(order) {
  switch (order) {
    case "pin":
      return "All of them change models at once: each finishes what it runs and loads, and placement leaves it there.";
    case "quarantine":
      return (
        "They are released, their sockets are closed and their providers stop. Each has to be readmitted here and its " +
        "provider started again on the machine."
      );
    case "unpin":
    case "release":
    case "cordon":
    case "uncordon":
    case "readmit":
      return `${ORDERS[order].hint}.`;
  }
}

/**
 * What came of it.
 * @param {BulkAnswer} answer
 */
export function bulkSentence(answer) {
  const { accepted, refused, waiting_for: silent } = answer;
  const waits =
    silent.length === 0
      ? ""
      : ` No answer yet from ${silent.join(", ")}: it holds there from the next tick on.`;
  const left = refused === 0 ? "" : ` ${refusedText(answer, "refused")}`;
  return `${count(accepted)} accepted.${left}${waits}`;
}

/** Why the whole of it comes to nothing; empty if somebody may have it. @param {BulkAnswer} dry */
export function bulkObstacle(dry) {
  return dry.accepted > 0 ? "" : `No machine can have this order. ${refusedText(dry, "refused")}`;
}

/**
 * Machines that are refused for the same reason stand together.
 * @param {BulkAnswer} answer
 * @param {string} word
 */
function refusedText({ machines }, word) {
  const groups = Map.groupBy(
    machines.filter(({ ok }) => !ok),
    ({ error }) => error?.code ?? "",
  );
  const parts = [...groups.values()].map((group) => {
    const ids = someOf(group.map(({ machine_id }) => machine_id));
    return `${ids} (${group[0]?.error?.message ?? "no reason given"})`;
  });
  return parts.length === 0
    ? ""
    : `${count([...groups.values()].flat().length)} ${word}: ${parts.join("; ")}.`;
}
