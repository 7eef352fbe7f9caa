/** @import { ApiError } from "./api-error.js" */
/** @import { Order } from "./api.js" */
/** @import { Warning } from "./confirm.js" */
/** @import { MachineDetails } from "./snapshot.js" */
import { sentenceOf } from "./api-error.js";
import { many, sentence } from "./format.js";
import { adviceOf } from "./words.js";

/** Which orders a machine can be given, and how one that was given is getting on. */

/** @typedef {Order | "remove"} Choice */

/**
 * @typedef {object} Choices
 * @property {readonly string[]} models of the catalog that are on its disk
 * @property {string} obstacle why it can be assigned nothing; empty if it can
 * @property {readonly Choice[]} orders
 */

/**
 * @param {MachineDetails} machine
 * @param {readonly string[]} catalog
 * @returns {Choices}
 */
export function choicesFor(machine, catalog) {
  const { cordoned, quarantined, assigned_model, order, explanation, state } = machine;
  const models = machine.models.filter((model) => catalog.includes(model));
  const isPinned = order?.pinned === true && assigned_model !== null;
  return {
    models,
    obstacle: obstacleTo(models, explanation.unmanaged_because),
    orders: [
      ...(isPinned ? /** @type {const} */ (["unpin"]) : []),
      ...(assigned_model === null ? [] : /** @type {const} */ (["release"])),
      ...(quarantined && !cordoned
        ? []
        : [cordoned ? /** @type {const} */ ("uncordon") : /** @type {const} */ ("cordon")]),
      quarantined ? "readmit" : "quarantine",
      ...(state === "offline" ? /** @type {const} */ (["remove"]) : []),
    ],
  };
}

/**
 * @param {readonly string[]} models
 * @param {string | null} because
 */
function obstacleTo(models, because) {
  if (because !== null) return `It takes no orders: ${because}.`;
  return models.length === 0 ? "No model of the catalog is on its disk." : "";
}

/**
 * @typedef {object} OrderWords
 * @property {string} label
 * @property {string} hint
 * @property {string} done
 */

/** @type {readonly Choice[]} */
export const ORDER_NAMES = ["unpin", "release", "cordon", "uncordon", "quarantine", "readmit", "remove"];

/** @type {Readonly<Record<Choice, OrderWords>>} */
export const ORDERS = {
  unpin: {
    label: "Unpin",
    hint: "Placement may move it again; it keeps what it holds",
    done: "Unpinned: it keeps its model, and placement may move it.",
  },
  release: {
    label: "Release",
    hint: "Takes its assignment away: it serves all its models again",
    done: "Released.",
  },
  cordon: {
    label: "Cordon",
    hint: "Keeps requests away: it finishes what runs, stays connected and keeps its model",
    done: "Cordoned: it gets no new requests, and placement leaves it alone.",
  },
  uncordon: {
    label: "Uncordon",
    hint: "Lets requests come again",
    done: "Uncordoned: requests may come again.",
  },
  quarantine: {
    label: "Quarantine",
    hint: "Shuts it out: no connection until it is readmitted",
    done: "In quarantine: its sockets are closed, and its dials are refused.",
  },
  readmit: {
    label: "Readmit",
    hint: "Ends its quarantine",
    done: "Readmitted. Start its provider again: the quarantine has told it to stop.",
  },
  remove: {
    label: "Remove",
    hint: "Forgets a machine that is gone for good",
    done: "Removed.",
  },
};

/**
 * What came of an order that was accepted.
 * @param {Choice} order
 * @param {readonly string[]} silent pools that have not heard of it yet
 */
export function doneSentence(order, silent) {
  const { done } = ORDERS[order];
  if (silent.length === 0) return done;
  return `${done} No answer yet from ${silent.join(", ")}: what it says holds there from the next tick on.`;
}

/**
 * What to ask before an order that cannot be taken back from here.
 * @param {Choice} order
 * @param {MachineDetails} machine
 * @returns {Warning | null}
 */
export function orderWarning(order, machine) {
  switch (order) {
    case "quarantine":
      return shutsOut(machine);
    case "remove":
      return forgets(machine);
    case "unpin":
    case "release":
    case "cordon":
    case "uncordon":
    case "readmit":
      return null;
  }
}

/**
 * @param {MachineDetails} machine
 * @returns {Warning}
 */
function shutsOut({ machine_id: id, in_flight: inFlight }) {
  const running = inFlight === 0 ? "" : ` It serves ${many(inFlight, "request")} now.`;
  return {
    title: `Shut ${id} out?`,
    text:
      "It is released, its sockets are closed and its provider stops. To come back it has to be readmitted here, and " +
      `its provider started again on the machine.${running}`,
    verb: "Quarantine",
  };
}

/**
 * @param {MachineDetails} machine
 * @returns {Warning}
 */
function forgets({ machine_id: id, owner, assigned_model, order, cordoned, quarantined }) {
  const pinned = order?.pinned === true ? ", and its pin with it" : "";
  const lost = [
    ...(assigned_model === null ? [] : [` Its assignment to ${assigned_model} ends${pinned}.`]),
    ...(cordoned ? [" It is not cordoned any more, should it come back."] : []),
    ...(quarantined ? [" Its quarantine is forgotten, too."] : []),
  ];
  return {
    title: `Remove ${id}?`,
    text:
      `It is forgotten.${lost.join("")} Its id becomes free: whoever dials with it and a valid token is a new machine, ` +
      `also for another owner than ${owner}. If it must not come back, revoke its provider token.`,
    verb: "Remove",
  };
}

/**
 * What came of assigning a model.
 * @param {MachineDetails} before as the machine was then
 * @param {string} model
 * @param {number} epoch of the order, or of an older one for the same
 */
export function pinnedSentence(before, model, epoch) {
  if (epoch !== before.epoch) return "The order is accepted.";
  return before.order?.pinned === true
    ? `Nothing to do: it is assigned to ${model} already.`
    : `It is assigned to ${model} already. It is pinned now, so that placement leaves it there.`;
}

/**
 * How the order of an epoch is getting on, anew at each refresh.
 * @param {MachineDetails} machine
 * @param {number} epoch
 */
export function progressOf(machine, epoch) {
  const { order, explanation, assigned_model } = machine;
  if (order === null || machine.epoch < epoch) return "The order is accepted.";
  if (machine.epoch > epoch) return `A newer order (epoch ${machine.epoch}) has overtaken it.`;
  switch (order.outcome) {
    case "succeeded":
      return assigned_model === null
        ? "Done: it is assigned to nothing."
        : `Done: it serves ${assigned_model}.`;
    case "failed": {
      const advice = adviceOf(explanation);
      return `Failed: ${order.error ?? "no reason given"}.${advice === "" ? "" : ` ${advice}.`}`;
    }
    case null:
    default:
      // What keeps requests away is no word about a release: nothing does.
      return assigned_model === null ? "It is being released." : `${sentence(explanation.why)}.`;
  }
}

/**
 * A refusal, with what the operator can do about it.
 * @param {ApiError} error
 */
export function refusalOf(error) {
  const said = sentenceOf(error);
  return error.code === "gate_off" ? `${said} It is in the part Flags of this page.` : said;
}
