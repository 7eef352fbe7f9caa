import type { Flags } from "../flags.ts";
import { RELEASING_TOO_LONG_MS } from "../limits.ts";
import type { GateReason } from "../pool/gate.ts";
import { viewMachine, type FleetView, type MachineView, type Sighting } from "./fleet-view.ts";
import { EPOCHS_USED_UP, hasEpochLeft, unmanageableBecause, type Machine } from "./machine.ts";

/**
 * Answers "Why is my machine idle?": the first reason that keeps requests away from a machine, in words for its owner, and the
 * one change that would help. It uses the same gates as routing, so the two cannot disagree.
 */

export interface Explanation {
  /** Code of the gate that closes first; null if requests may come. */
  readonly gate: string | null;
  readonly why: string;
  /** What the owner or the operator can do; null if there is nothing to do. */
  readonly fix: string | null;
  /** Why the machine is not given an assignment, if that is so; it may serve all the same. */
  readonly unmanaged_because: string | null;
}

/** For the owner of a machine that lacks a model: its provider does the rest. */
const DOWNLOAD =
  "unless it is downloading the model already, start the provider with --model ID=hf:ORG/REPO/file.gguf";

type Closed = Pick<Explanation, "gate" | "why" | "fix">;

export function explain(view: FleetView, machine: Machine, flags: Flags): Explanation {
  return explainView(view, viewMachine(view, machine), flags);
}

/** The same, for a caller that has the machine's view already. */
export function explainView(view: FleetView, seen: MachineView, flags: Flags): Explanation {
  const obstacle = hasEpochLeft(seen.intent)
    ? unmanageableBecause(seen.machine, flags)
    : { message: EPOCHS_USED_UP };
  const closed = outOfReach(view, seen) ?? onTheWay(view, seen) ?? atTheGate(seen) ?? open(view, seen);
  return {
    ...(isFoughtFor(view, seen) ? { ...closed, ...FOUGHT_FOR } : closed),
    unmanaged_because: obstacle?.message ?? null,
  };
}

/** Two programs run under one id; whatever else keeps requests away may be caused by either. */
function isFoughtFor(view: FleetView, { machine, sockets }: MachineView): boolean {
  return sockets.length > 0 && view.isContested(machine.machineId);
}

const FOUGHT_FOR = {
  why: "two programs run under this machine's id and end each other's connections, and requests with them",
  fix: "stop one of them, or start it with a --state folder of its own",
};

/** Nothing can be sent to it, or nothing that clients may ask for. */
function outOfReach(view: FleetView, { machine, sockets, since, inFlight }: MachineView): Closed | null {
  if (machine.isQuarantined) {
    return {
      gate: "quarantined",
      why: "an operator has quarantined this machine",
      fix: "ask the operator to readmit it",
    };
  }
  if (sockets.length === 0 && machine.tokenId !== null && view.isRevoked(machine.tokenId)) {
    return {
      gate: "token_revoked",
      why: "the provider token that it last connected with was revoked",
      fix: "ask the operator to make a new provider token, and start the provider with it",
    };
  }
  if (sockets.length === 0) {
    return {
      gate: "offline",
      why: `the machine has had no connection to the coordinator for ${ago(view.now - since)}`,
      fix: "start the provider, or check the machine's network",
    };
  }
  if (machine.cordonedAt !== null) {
    const rest = inFlight === 0 ? "gets no requests" : `finishes ${requests(inFlight)} and gets no new ones`;
    return {
      gate: "cordoned",
      why: `an operator cordoned it ${ago(view.now - machine.cordonedAt)} ago: it ${rest}`,
      fix: "ask the operator to uncordon it",
    };
  }
  if (machine.models.some(({ id }) => view.models.includes(id))) return null;
  return {
    gate: "no_catalog_model",
    why: "none of the models on this machine's disk is in the catalog",
    fix:
      view.models.length === 0
        ? "ask the operator to add a model to the catalog"
        : `${DOWNLOAD}, for one of: ${view.models.slice(0, 5).join(", ")}`,
  };
}

/** It belongs to a pool and does not serve there yet, or not any more. */
function onTheWay(view: FleetView, { intent, home, state, machine }: MachineView): Closed | null {
  if (intent === null || intent.model === null) return null;
  const { model, phase, error } = intent;
  if (intent.outcome === "failed") {
    const { machineId } = machine;
    const cooldown = view.cooldowns.find((entry) => entry.machineId === machineId && entry.model === model);
    const later = cooldown === undefined ? "soon" : `in ${ago(Math.max(0, cooldown.until - view.now))}`;
    const again = error?.code === "model_not_on_disk" ? `as soon as it has the model, and ${later}` : later;
    return {
      gate: "failed",
      why: `it could not serve "${model}": ${error?.message ?? "no reason given"}; it will be tried again ${again}`,
      fix: fixOf(error?.code ?? ""),
    };
  }
  if (phase === "releasing") {
    const isLong = view.now - intent.startedAt > RELEASING_TOO_LONG_MS;
    return {
      gate: "releasing",
      why:
        intent.pending.length === 0
          ? `its order to serve "${model}" is given again in a moment`
          : `it is moving to "${model}" and waits for ${intent.pending.join(", ")} to let go of it`,
      fix: isLong ? "the operator should look at these pools: they do not answer" : null,
    };
  }
  switch (state) {
    case "expected":
      return {
        gate: "expected",
        why: `it was ordered to serve "${model}" and has not answered yet`,
        fix: null,
      };
    case "draining":
      return { gate: "draining", why: `it finishes its requests before it loads "${model}"`, fix: null };
    case "loading": {
      const percent = Math.round((home?.record?.progress ?? 0) * 100);
      return { gate: "loading", why: `it is loading "${model}" (${percent} %)`, fix: null };
    }
    case "assigned":
    case "failed":
    case "offline":
    case "unmanaged":
      return null;
  }
}

/** The routing gate of the pools it is in; one open gate is enough. */
function atTheGate({ home, sockets }: MachineView): Closed | null {
  const reports = home === null ? sockets.map(({ report }) => report) : [home];
  if (reports.some(({ blockedBy }) => blockedBy === null)) return null;
  const [blockedBy] = reports.map((report) => report.blockedBy);
  if (blockedBy == null || blockedBy === "offline") return null;
  const { why, fix } = GATES[blockedBy];
  const problem = blockedBy === "below_trust_level" ? reports[0]?.trustProblem : null;
  return { gate: blockedBy, why: problem == null ? why : `${why}: ${problem}`, fix };
}

function open(view: FleetView, { inFlight, sockets }: MachineView): Closed {
  const pools = sockets.map(({ pool }) => `"${pool}"`).join(", ");
  const why =
    inFlight > 0
      ? `it is serving ${requests(inFlight)}`
      : `nothing keeps requests away: it waits for requests to ${pools}` +
        (sockets.some(({ report }) => report.loaded)
          ? ""
          : "; the first one has to wait for its model to load") +
        sockets.map((socket) => shortOf(view, socket)).join("");
  return { gate: null, why, fix: null };
}

/** What becomes of requests that are longer than what it takes; nothing if others take no more and clients know. */
function shortOf(view: FleetView, { pool, report }: Sighting): string {
  const { contextLength } = report;
  const promised = view.contextOf(pool) ?? Infinity;
  if (contextLength === null || contextLength >= promised) return "";
  const isTakenElsewhere = (view.reports.get(pool)?.machines ?? []).some(
    (other) => other.blockedBy === null && (other.contextLength ?? Infinity) > contextLength,
  );
  return (
    `; of requests to "${pool}" it takes those of up to ${contextLength} tokens, and longer ones ` +
    (isTakenElsewhere ? "go to other machines" : "are refused")
  );
}

const GATES: Record<GateReason, { readonly why: string; readonly fix: string | null }> = {
  not_registered: { why: "its connection has not been accepted yet", fix: null },
  outdated: {
    why: "its provider version has become too old to serve: it finishes its requests and is closed",
    fix: "install a newer provider",
  },
  cordoned: { why: "an operator keeps requests away from it", fix: "ask the operator to uncordon it" },
  released: { why: "it belongs to another pool now", fix: null },
  expected: { why: "it has not answered its order yet", fix: null },
  draining: { why: "it finishes its requests before it switches models", fix: null },
  loading: { why: "it is loading its model", fix: null },
  failed: { why: "it could not load its model", fix: "look at the provider's log" },
  model_not_loaded: { why: "it is loading its model again", fix: null },
  owner_busy: { why: "its owner is using it", fix: null },
  model_not_on_machine: {
    why: "the model is not on its disk",
    fix: `${DOWNLOAD}, or with the folder that holds it`,
  },
  not_accepting: {
    why: "the provider is stopping, about to offer another model, or has none that works",
    fix: "start the provider again",
  },
  owner_private: {
    why: "it serves its owner only",
    fix: "start the provider without --private to serve everybody",
  },
  reserved: {
    why: "its owner has reserved it for now: paused by hand, or by a rule (on battery, in use)",
    fix: "run `poolkeeper-provider resume`, or start the provider without the rule",
  },
  below_trust_level: {
    why: "it has not proven the trust level that the fleet demands",
    fix: "update the provider; for the level hardware, start it with --attestation-chain",
  },
  silent: { why: "it has shown no sign of life for a minute", fix: "check the machine's network" },
  too_hot: { why: "it is too hot", fix: "let it cool down; check its fans and where it stands" },
  breaker_open: {
    why: "it has failed several requests in a row and gets none for a moment",
    fix: "look at the provider's log",
  },
};

function fixOf(code: string): string {
  switch (code) {
    case "model_not_on_disk":
      return DOWNLOAD;
    case "insufficient_memory":
      return "free memory by closing other programs, or ask for a smaller model";
    case "refused_by_operator":
      return "start the provider without --private";
    default:
      return "look at the provider's log";
  }
}

function requests(count: number): string {
  return count === 1 ? "1 request" : `${count} requests`;
}

function ago(ms: number): string {
  const seconds = Math.round(ms / 1000);
  if (seconds < 90) return `${seconds} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
}
