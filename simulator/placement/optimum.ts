import { loadHighs } from "./highs.ts";
import { namedMoves } from "./named-moves.ts";
import { type Flow, type Group, type PerNode, solveStretch } from "./network.ts";
import type { DoneMove } from "./policy.ts";
import type { Scenario } from "./scenario.ts";

/**
 * The clairvoyant optimum: what could be served by one who knows all demand, outages and returns, with the same
 * switch time. A long trace is solved in windows that overlap: each window is solved with two hours more than it
 * keeps, and the next starts from where the kept part ended. Load failures are not known to it and do not happen.
 */
export interface Optimum {
  readonly ready: readonly (readonly number[])[];
  readonly moves: readonly DoneMove[];
  readonly switches: number;
  /** False with several kinds of machines: then the plan may split machines and is an upper bound. */
  readonly wholeMachines: boolean;
}

export interface WindowSizes {
  readonly keep: number;
  readonly overlap: number;
}

const WINDOWS: WindowSizes = { keep: 360, overlap: 120 };

/** A program over several kinds of machines takes much longer to solve, and nearly as much is won in a quarter of the time. */
const WINDOWS_OF_SEVERAL_KINDS: WindowSizes = { keep: 120, overlap: 60 };

export async function optimumOf(
  scenario: Scenario,
  floors: boolean,
  sizes?: WindowSizes,
): Promise<Optimum | undefined> {
  const highs = await loadHighs();
  const groups = groupsOf(scenario);
  const windows = sizes ?? (groups.length === 1 ? WINDOWS : WINDOWS_OF_SEVERAL_KINDS);
  const minutes = scenario.demand.length;
  const kept = {
    stay: [] as PerNode[],
    out: [] as PerNode[],
    into: [] as PerNode[],
    gone: [] as PerNode[],
    waiting: [] as (readonly number[])[],
    goneWaiting: [] as (readonly number[])[],
  };
  const capsBind = scenario.models.some(({ cap }) => cap < scenario.machines.length);
  let carry: Carry | undefined;
  for (let from = 0; from < minutes; from += windows.keep) {
    const until = Math.min(minutes, from + windows.keep + windows.overlap);
    const solved = (mayWait: boolean) =>
      solveStretch(scenario, groups, { from, until, pending: [], ...carry, mayWait, floors }, highs);
    const flow = solved(capsBind) ?? (capsBind ? undefined : solved(true));
    if (!flow) return undefined;
    const keep = Math.min(windows.keep, minutes - from);
    kept.stay.push(...flow.stay.slice(0, keep));
    kept.out.push(...flow.out.slice(0, keep));
    kept.into.push(...flow.into.slice(0, keep));
    kept.gone.push(...flow.gone.slice(0, keep));
    kept.waiting.push(...flow.waiting.slice(0, keep));
    kept.goneWaiting.push(...flow.goneWaiting.slice(0, keep));
    carry = carryOf(scenario, kept, from + keep);
    if (until === minutes && from + keep >= minutes) break;
  }
  const ready = kept.stay.map((minute) =>
    scenario.models.map((_, model) =>
      groups.reduce(
        (sum, group, index) => sum + (minute[index]?.[model] ?? 0) * (group.speeds[model] ?? 0),
        0,
      ),
    ),
  );
  const [only, ...more] = groups;
  const wholeMachines = only !== undefined && more.length === 0;
  const switches = kept.out.flat(2).reduce((sum, count) => sum + count, 0);
  return { ready, moves: wholeMachines ? namedMoves(scenario, only, kept) : [], switches, wholeMachines };
}

interface Carry {
  readonly start: PerNode;
  readonly pending: readonly { readonly minute: number; readonly counts: PerNode }[];
  readonly waiting: readonly number[];
}

/** Where the machines are at the start of minute `at`, and which are still on their way. */
function carryOf(scenario: Scenario, flow: Flow, at: number): Carry {
  const { switchMinutes } = scenario;
  const staying = flow.stay[at - 1] ?? [];
  const ordered = (minute: number): PerNode => flow.into[minute] ?? [];
  const arriving = ordered(at - switchMinutes);
  const start = staying.map((group, index) =>
    group.map((count, model) => count + (arriving[index]?.[model] ?? 0)),
  );
  const pending = [];
  for (let minute = Math.max(0, at - switchMinutes + 1); minute < at; minute += 1) {
    pending.push({ minute: minute + switchMinutes, counts: ordered(minute) });
  }
  return { start: switchMinutes === 0 ? staying : start, pending, waiting: flow.waiting[at - 1] ?? [] };
}

/** Machines that are equal for the plan: the same speed with every model. One that no model fits on is in none. */
function groupsOf(scenario: Scenario): Group[] {
  const groups = new Map<string, { machines: number[]; speeds: readonly number[] }>();
  for (const [index, { speeds }] of scenario.machines.entries()) {
    if (speeds.every((speed) => speed === 0)) continue;
    const key = speeds.join(" ");
    const group = groups.get(key);
    if (group) group.machines.push(index);
    else groups.set(key, { machines: [index], speeds });
  }
  return [...groups.values()];
}
