import type { Flow, Group } from "./network.ts";
import type { DoneMove } from "./policy.ts";
import type { Scenario } from "./scenario.ts";

/** A machine of a model, and the minute from which on it serves. */
interface Held {
  readonly machine: number;
  readonly from: number;
}

/**
 * Gives the machines of a one-group flow their names: whoever has been longest on a model leaves it first. Which
 * machine goes in an outage is the plan's to choose (equal machines are interchangeable to it). A machine that leaves
 * a model and returns to it in the same minute has not moved.
 */
export function namedMoves(scenario: Scenario, group: Group, flow: Flow): DoneMove[] {
  const moves: DoneMove[] = [];
  const fresh = [...group.machines];
  const pools: Held[][] = scenario.models.map(() => []);
  const away: number[] = [];
  const last = new Map<number, number | null>();
  const first = scenario.models.map((_, model) => {
    const count = (table: Flow["stay"]) => table[0]?.[0]?.[model] ?? 0;
    return count(flow.stay) + count(flow.out) + count(flow.gone);
  });
  for (const [model, count] of first.entries()) {
    for (const machine of fresh.splice(0, count)) {
      moves.push({ minute: 0, machine, from: null, to: model });
      pools[model]?.push({ machine, from: 0 });
    }
  }
  /** Without a model: those for which there was no room, and those that came back and were given none yet. */
  const waiting = fresh;
  for (let minute = 0; minute < flow.stay.length; minute += 1) {
    const counts = (table: Flow["stay"], model: number) => table[minute]?.[0]?.[model] ?? 0;
    const back = scenario.outages.filter(
      ({ machine, until }) => until === minute && group.machines.includes(machine),
    ).length;
    const returned = away.splice(0, back);
    for (const machine of returned) last.set(machine, null);
    const hub = [...waiting.splice(0), ...returned];
    for (const [model, pool] of pools.entries()) {
      away.push(...takeReady(pool, counts(flow.gone, model), minute));
      for (const machine of takeReady(pool, counts(flow.out, model), minute)) {
        last.set(machine, model);
        hub.push(machine);
      }
    }
    for (const [model, pool] of pools.entries()) {
      for (let count = counts(flow.into, model); count > 0; count -= 1) {
        const machine = hub.shift();
        if (machine === undefined) break;
        pool.push({ machine, from: minute + scenario.switchMinutes });
        const from = last.get(machine) ?? null;
        if (from !== model) moves.push({ minute, machine, from, to: model });
      }
    }
    away.push(...hub.splice(0, flow.goneWaiting[minute]?.[0] ?? 0));
    waiting.push(...hub);
  }
  return moves;
}

/** Takes out of a pool so many machines that serve, those first that came first. */
function takeReady(pool: Held[], count: number, minute: number): number[] {
  const taken = pool.filter(({ from }) => from <= minute).slice(0, count);
  for (const held of taken) pool.splice(pool.indexOf(held), 1);
  return taken.map(({ machine }) => machine);
}
