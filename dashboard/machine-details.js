/** @import { DetailLine } from "./details.js" */
/** @import { MachineDetails } from "./snapshot.js" */
import { count, decimal, duration, sentence } from "./format.js";
import { adviceOf, moveReason, stayReason } from "./words.js";

/**
 * What the page says of one machine when it is opened.
 * @param {MachineDetails} machine
 * @param {string} [tokenName] of the token that it came with, if it is known
 * @returns {DetailLine[]}
 */
export function detailLines(machine, tokenName) {
  const { explanation, order } = machine;
  const lines = [
    { name: "State", value: `${machine.state} for ${duration(machine.state_age_ms)}` },
    { name: "What it does", value: sentence(explanation.why) },
    {
      name: "Missing",
      value:
        machine.unreachable_pools.length === 0
          ? ""
          : `no answer from ${machine.unreachable_pools.join(", ")}`,
    },
    { name: "What would help", value: adviceOf(explanation) },
    {
      name: "Takes no orders",
      value: explanation.unmanaged_because === null ? "" : sentence(explanation.unmanaged_because),
    },
    {
      name: "The last plan",
      value: machine.stays_because === null ? "" : `leaves it, because ${stayReason(machine.stays_because)}`,
    },
    { name: "Most useful", value: usefulModels(machine.useful_models ?? []) },
    { name: "Newest order", value: order === null ? "none yet" : orderSentence(order, machine) },
    { name: "Assigned to", value: machine.assigned_model ?? "nothing" },
    { name: "In memory", value: machine.loaded_models.join(", ") || "no model" },
    { name: "In flight", value: String(machine.in_flight) },
    { name: "Speed", value: machine.decode_tps === null ? "" : `${decimal(machine.decode_tps)} tokens/s` },
    {
      name: "Longest request",
      // A coordinator of an earlier version knows of none.
      value: machine.context_length == null ? "" : `${count(machine.context_length)} tokens`,
    },
    { name: "Sockets", value: machine.pools.join(", ") || "none" },
    { name: "On its disk", value: machine.models.join(", ") || "no model" },
    { name: "Chip", value: `${machine.hardware}, ${decimal(machine.memory_gb)} GB` },
    { name: "Provider", value: machine.version ?? "of unknown version" },
    { name: "Has proven", value: provenBy(machine) },
    { name: "Owner", value: machine.owner + (machine.private_only ? ", private" : "") },
    { name: "Came with the token", value: tokenText(machine.token_id, tokenName) },
    { name: "Cordon", value: machine.cordoned ? "an operator keeps requests away from it" : "" },
    { name: "Quarantine", value: machine.quarantined ? "shut out by an operator" : "" },
  ];
  return lines.filter(({ value }) => value !== "");
}

/** More of them are in the API. */
const USEFUL_MAX = 3;

/** @param {NonNullable<MachineDetails["useful_models"]>} models the most useful first */
function usefulModels(models) {
  const named = models.flatMap(({ model_id, on_disk, holds, requests_per_hour: more }) =>
    more === null || more === 0
      ? []
      : [
          `${model_id} (+${decimal(more)} requests/h${holds ? ", as it is" : on_disk ? "" : ", not on its disk"})`,
        ],
  );
  return named.slice(0, USEFUL_MAX).join("; ");
}

/**
 * @param {string | null} id
 * @param {string} [name]
 */
function tokenText(id, name) {
  if (id === null) return "";
  return name === undefined ? id : `${name} (${id})`;
}

/** @param {MachineDetails} machine */
function provenBy({ trust_level, trust_problem, pools }) {
  if (pools.length === 0) return "";
  const proven = {
    none: "nothing about its key",
    self_signed: "that it holds its key",
    hardware: "that it holds its key, which a genuine Apple device vouches for",
  }[trust_level];
  return trust_problem === null ? proven : `${proven}; ${trust_problem}`;
}

/**
 * @param {NonNullable<MachineDetails["order"]>} order
 * @param {MachineDetails} machine
 */
function orderSentence({ reason, phase, outcome, error, waiting_for, pinned }, { epoch, state }) {
  const waiting = waiting_for.length === 0 ? "" : `, waits for ${waiting_for.join(", ")}`;
  const isAway = state === "offline" && waiting_for.length === 0;
  const stage = isAway ? "waits until it is connected" : `${phase}${waiting}`;
  const came = outcome === null ? `under way: ${stage}` : outcome;
  const because = error === null ? "" : `: ${error}`;
  return `${came}${because} (epoch ${epoch}; ${moveReason(reason)}${pinned && reason !== "pinned" ? "; pinned" : ""})`;
}
