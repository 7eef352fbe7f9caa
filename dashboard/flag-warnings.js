/** @import { Warning } from "./confirm.js" */
/** @import { Snapshot } from "./snapshot.js" */
import { count, many } from "./format.js";

/** What a flag's new value does to machines, to be read before it does. */

/**
 * @param {string} name
 * @param {string} value
 * @param {Snapshot} snapshot
 * @returns {Warning | null} null if it moves no machine
 */
export function flagWarning(name, value, snapshot) {
  switch (name) {
    case "assignment_gate":
      if (value === "on") return gateOpens(snapshot);
      return value === "off" ? gateCloses(snapshot) : null;
    case "placement":
      return value === "enforce" ? placementActs(snapshot) : null;
    case "min_trust_level":
      return value === "none" ? null : othersGetNothing(value, snapshot);
    case "min_provider_version":
      return isVersion(value) ? providersStop(value) : null;
    case "assign_min_provider_version":
      return isVersion(value) ? machinesLeave(value) : null;
    default:
      return null;
  }
}

/**
 * @param {string} value
 * @param {Snapshot} snapshot
 * @returns {Warning | null}
 */
function othersGetNothing(value, { utilization }) {
  const enough = value === "hardware" ? ["hardware"] : ["self_signed", "hardware"];
  const { machines, pools } = utilization.model_pools;
  const here = machines.filter(({ state }) => state !== "offline");
  const proven = here.filter(({ trust_level }) => enough.includes(trust_level));
  const left = pools.filter(({ model_id }) => isIn(model_id, here) && !isIn(model_id, proven));
  const empty =
    left.length === 0
      ? ""
      : ` No machine is left to serve ${left.map(({ model_id }) => model_id).join(", ")}.`;
  return {
    title: `Demand the trust level ${value}?`,
    text:
      `${many(proven.length, "connected machine")} of ${count(here.length)} ${proven.length === 1 ? "has" : "have"} ` +
      `proven it. The others get no requests but those of their owners, until they prove it; what runs goes on.${empty}`,
    verb: "Demand it",
  };
}

/**
 * @param {string} model
 * @param {readonly { readonly pools: readonly string[] }[]} machines
 */
function isIn(model, machines) {
  return machines.some(({ pools }) => pools.includes(model));
}

/**
 * About anything else there is nothing to ask: the coordinator refuses it, or it is none.
 * @param {string} value
 */
function isVersion(value) {
  return /^v?\d/.test(value);
}

/**
 * @param {Snapshot} snapshot
 * @returns {Warning}
 */
function gateOpens({ utilization, flags }) {
  const { placement } = utilization.model_pools;
  const itself =
    placement === "enforce"
      ? `Placement is on enforce: from the next tick on it moves machines by itself${atMost(flags)}.`
      : `By itself nothing moves while placement is ${placement}.`;
  return {
    title: "Switch the assignment gate on?",
    text:
      "Machines can be assigned from now on. One that is ordered to a model finishes its requests, unloads what it " +
      `holds, and serves that model alone. ${itself}`,
    verb: "Switch on",
  };
}

/**
 * @param {Snapshot} snapshot
 * @returns {Warning}
 */
function gateCloses({ utilization }) {
  const { machines } = utilization.model_pools;
  const assigned = machines.filter(({ managed }) => managed).length;
  const released =
    assigned === 0
      ? "No machine is assigned now, so none is released."
      : `${many(assigned, "assigned machine")} of ${count(machines.length)} will be released, pinned ones and those ` +
        "on their way included. They serve all their models again, without a restart.";
  return {
    title: "Switch the assignment gate off?",
    text: `${released} No order can be given until it is on again.`,
    verb: "Switch off",
  };
}

/**
 * @param {Snapshot} snapshot
 * @returns {Warning}
 */
function placementActs({ utilization, flags, placement }) {
  const last = lastPlanOf(placement.moves);
  return {
    title: "Let placement move machines?",
    text:
      utilization.model_pools.assignment_gate === "on"
        ? `${whenObeyed(flags)}${atMost(flags)}.${last} Pinned machines stay.`
        : "The flag assignment_gate is off, so that plans are only shown for now. They will be carried out from the " +
          `moment that it is switched on${atMost(flags)}.${last}`,
    verb: "Set to enforce",
  };
}

/** @param {Snapshot["flags"]} flags */
function whenObeyed(flags) {
  const days = Number(flags.find(({ name }) => name === "placement_trial_days")?.value ?? 0);
  return days === 0
    ? "From the next tick on, plans are carried out"
    : `Once they would have won on ${days === 1 ? "a whole day" : `${days} whole days in a row`}, plans are carried out`;
}

/**
 * An order to keep what it holds is one of the plan's moves, too, and moves nothing.
 * @param {Snapshot["placement"]["moves"]} moves
 */
function lastPlanOf(moves) {
  const leaving = moves.filter(({ from, to }) => from !== to).length;
  const staying = moves.length - leaving;
  const moved = leaving === 0 ? [] : [`moves ${many(leaving, "machine")}`];
  const kept =
    staying === 0
      ? []
      : [`assigns ${many(staying, "machine")} what ${staying === 1 ? "it holds" : "they hold"}`];
  return moves.length === 0 ? "" : ` The last plan ${[...moved, ...kept].join(" and ")}.`;
}

/** @param {Snapshot["flags"]} flags */
function atMost(flags) {
  const budget = flags.find(({ name }) => name === "max_loads_per_tick")?.value;
  return budget === undefined ? "" : `, at most ${many(Number(budget), "move")} a tick`;
}

/**
 * @param {string} version
 * @returns {Warning}
 */
function providersStop(version) {
  return {
    title: `Stop providers older than ${version}?`,
    text:
      "They get no new requests, finish what runs for at most 30 seconds, are told to update, and end. Their machines " +
      "come back when somebody on them has " +
      "installed a newer provider.",
    verb: "Set",
  };
}

/**
 * @param {string} version
 * @returns {Warning}
 */
function machinesLeave(version) {
  return {
    title: `Assign only providers from ${version} on?`,
    text: "Assigned machines with an older provider are released. They serve on, and take no orders.",
    verb: "Set",
  };
}
