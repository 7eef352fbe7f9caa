import type { MachineView, Move, Setting, View } from "../policy.ts";

/**
 * Shared by the simple policies: moves machines from models above their target to models below it, empty machines
 * first. Loading machines count as there. A machine is moved only after `dwell` minutes on its model, and only if
 * the donor is more than `slack` machines above its target.
 */
export interface Limits {
  readonly dwell: number;
  readonly slack: number;
  /** Moves a minute. */
  readonly budget: number;
}

export function movesTowards(
  targets: readonly number[],
  view: View,
  setting: Setting,
  limits: Limits,
): Move[] {
  const held = setting.models.map(() => 0);
  for (const { state, model } of view.machines) {
    if (state !== "away" && model !== null) held[model] = (held[model] ?? 0) + 1;
  }
  const surplus = (model: number) => (held[model] ?? 0) - (targets[model] ?? 0);
  const wanting = setting.models.map((_, model) => model).sort((a, b) => surplus(a) - surplus(b));
  const moves: Move[] = [];
  const taken = new Set<number>();
  for (const model of wanting) {
    while (surplus(model) < 0 && moves.length < limits.budget) {
      const machine = donor(model);
      if (machine < 0) break;
      const from = view.machines[machine]?.model ?? null;
      if (from !== null) held[from] = (held[from] ?? 0) - 1;
      held[model] = (held[model] ?? 0) + 1;
      taken.add(machine);
      moves.push({ machine, model });
    }
  }
  return moves;

  function donor(model: number): number {
    let best = -1;
    let bestSurplus = limits.slack;
    for (const [index, machine] of view.machines.entries()) {
      const fits = (setting.machines[index]?.speeds[model] ?? 0) > 0;
      if (!fits || taken.has(index) || !movable(machine)) continue;
      if (machine.model === null) return index;
      if (surplus(machine.model) > bestSurplus) [best, bestSurplus] = [index, surplus(machine.model)];
    }
    return best;
  }

  function movable(machine: MachineView): boolean {
    return (
      machine.state === "empty" || (machine.state === "ready" && view.minute - machine.since >= limits.dwell)
    );
  }
}

/** Floors first, then in the given order what is wanted, as long as there are machines; the caps hold. */
export function fill(wanted: readonly number[], order: readonly number[], setting: Setting): number[] {
  const targets = setting.models.map((model) => model.floor);
  let left = setting.machines.length - targets.reduce((sum, floor) => sum + floor, 0);
  for (const model of order) {
    const cap = setting.models[model]?.cap ?? 0;
    const more = Math.max(0, Math.min(left, cap, wanted[model] ?? 0) - (targets[model] ?? 0));
    targets[model] = (targets[model] ?? 0) + more;
    left -= more;
  }
  return targets;
}
