import { MACHINE_FAULTS, MachineFaults, type MachineFault } from "./machine-faults.ts";
import type { Operators } from "./operators.ts";
import type { World } from "./world.ts";

/** Faults that a coordinator sees once a year, and those of single machines; here they all happen within minutes. */
export class RareFaults {
  readonly #world: World;
  readonly #operators: Operators;
  readonly #machineFaults: MachineFaults;

  constructor(world: World, operators: Operators) {
    this.#world = world;
    this.#operators = operators;
    this.#machineFaults = new MachineFaults(world);
  }

  start(): void {
    const { dice, fleet } = this.#world;
    if (!dice.chance(0.4)) return;
    fleet.setFlag("placement", "enforce");
    fleet.setFlag("tick_seconds", dice.pick(["5", "30"]));
    fleet.setFlag("min_dwell_seconds", "20");
    this.#world.isPlacing = true;
  }

  /** Restores the catalog, lets all pools answer, and gives each machine back to its owner. */
  end(): void {
    const { fleet, machines, models, pools } = this.#world;
    if (!this.#world.hooks.hasRareFaults) return;
    fleet.setModels(models);
    for (const pool of pools) pool.unreachableUntil = 0;
    this.#machineFaults.end();
    for (const machine of machines)
      machine.passTo(fleet.core.directory.get(machine.id)?.owner ?? machine.owner);
  }

  act(): void {
    const { clock, dice, fleet, machines, pools } = this.#world;
    const machine = dice.pick(machines);
    const pool = dice.pick(pools);
    const kind = dice.pick(KINDS);
    this.#world.rareFaults.add(kind);
    this.#world.log(() => `RARE ${kind} ${machine.id} ${pool.model}`);
    switch (kind) {
      case "fleet dies":
        fleet.dieNext();
        return;
      case "pool dies":
        pool.dieNext();
        return;
      case "alarm twice":
        fleet.ringAgain();
        if (dice.chance(0.5)) fleet.ringAgain();
        return;
      case "unreachable":
        pool.unreachableUntil = clock.now() + dice.whole(10_000, 300_000);
        return;
      case "busy operators":
        for (let acts = dice.whole(2, 6); acts > 0; acts--) this.#operators.act();
        if (dice.chance(0.3)) pool.reset();
        if (dice.chance(0.2)) this.#changeModels();
        return;
      case "model":
        this.#changeModels();
        return;
      case "owner":
        machine.passTo(machine.owner === "owner" ? "another" : "owner");
        clock.after(dice.whole(0, 60_000), () => machine.start());
        return;
      case "step back":
        this.#stepBack();
        return;
      case "quit":
      case "sleep":
      case "restore":
      case "clone":
      case "private":
      case "reserve":
      case "visit":
        this.#machineFaults.act(kind, machine);
    }
  }

  /** Models are removed from the catalog and added again. */
  #changeModels(): void {
    const { clock, dice, fleet, models, wanted } = this.#world;
    if (fleet.isDown) return;
    const gone = fleet.setModels(models.filter(() => dice.chance(0.7)));
    for (const [id, model] of wanted) if (model !== null && gone.includes(model)) wanted.set(id, null);
    const back = (): void => {
      if (!fleet.isDown) fleet.setModels(models);
    };
    clock.after(dice.whole(0, 90_000), back);
  }

  /** Rolls back to an earlier version of the coordinator, which finds stored values that it does not know. */
  #stepBack(): void {
    const { dice, fleet, pools } = this.#world;
    for (const pool of pools) {
      for (const record of pool.disk.all()) {
        if (dice.chance(0.3)) pool.disk.put({ ...record, mode: "released", deadlineAt: null, error: null });
      }
      pool.reset();
    }
    for (const intent of fleet.disk.intents()) {
      if (dice.chance(0.7)) continue;
      const unread = { phase: "releasing", outcome: null, pending: [], holders: [] } as const;
      fleet.disk.saveIntent({ ...intent, ...unread, isHeard: false, rounds: 0, retryAt: intent.phaseAt });
    }
    fleet.restart();
  }
}

type Kind =
  | "fleet dies"
  | "pool dies"
  | "alarm twice"
  | "unreachable"
  | "busy operators"
  | "model"
  | "owner"
  | "step back"
  | MachineFault;

/** Relative frequency of each fault. */
const WEIGHTS: readonly (readonly [Kind, number])[] = [
  ["fleet dies", 6],
  ["pool dies", 4],
  ["alarm twice", 2],
  ["unreachable", 2],
  ["busy operators", 4],
  ["model", 2],
  ["owner", 2],
  ["step back", 1],
  ...MACHINE_FAULTS,
];

export const RARE_FAULTS: readonly string[] = WEIGHTS.map(([kind]) => kind);

const KINDS = WEIGHTS.flatMap(([kind, weight]) => Array.from({ length: weight }, () => kind));
