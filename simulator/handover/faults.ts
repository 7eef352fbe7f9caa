import type { MachineHost } from "./machine-host.ts";
import { Operators } from "./operators.ts";
import { RareFaults } from "./rare-faults.ts";
import { Wire } from "./wire.ts";
import type { World } from "./world.ts";

/** Everything that happens to the fleet: requests of clients, orders of operators, and injected faults. */
export class Faults {
  readonly #world: World;
  readonly #operators: Operators;
  readonly #rare: RareFaults;
  #isOver = false;

  constructor(world: World) {
    this.#world = world;
    this.#operators = new Operators(world);
    this.#rare = new RareFaults(world, this.#operators);
  }

  start(calmAt: number, clientsUntil: number): void {
    const { dice, fleet } = this.#world;
    if (dice.chance(0.9)) fleet.setFlag("assignment_gate", "on");
    fleet.setFlag("pool_exhausted_429", "on");
    if (dice.chance(0.5)) fleet.setFlag("load_cooldown_seconds", "20");
    this.#repeat(() => this.#ask(), 200, 8000, clientsUntil);
    this.#repeat(() => this.#operators.act(), 100, dice.pick([2000, 8000, 25_000]), calmAt);
    this.#repeat(() => this.#breakSomething(), 100, dice.pick([3000, 8000, 25_000]), calmAt);
    const { deletesMachines, hasRareFaults } = this.#world.hooks;
    if (deletesMachines) this.#repeat(() => this.#operators.retire(), 1000, 60_000, calmAt);
    if (!hasRareFaults) return;
    this.#rare.start();
    this.#repeat(() => this.#rare.act(), 100, dice.pick([8000, 25_000, 60_000]), calmAt);
  }

  /** Ends all faults, so that the fleet can converge. */
  end(): void {
    this.#isOver = true;
    const { machines, fleet, wanted } = this.#world;
    fleet.downUntil = 0;
    this.#rare.end();
    for (const machine of machines) {
      if (fleet.core.directory.get(machine.id)?.isQuarantined === true) {
        fleet.operate((core) => core.readmit(machine.id));
        wanted.delete(machine.id);
      }
      this.#keepRunning(machine);
    }
  }

  /** Placement looks every few minutes while nothing happens, and would move a machine just before the end. */
  rest(): void {
    const { fleet, isPlacing } = this.#world;
    if (isPlacing) fleet.setFlag("placement", "off");
  }

  /** A provider that was told to stop is started again by its owner. */
  #keepRunning(machine: MachineHost): void {
    machine.start();
    this.#world.clock.after(20_000, () => this.#keepRunning(machine));
  }

  #repeat(act: () => void, lowMs: number, highMs: number, until: number): void {
    const { clock, dice } = this.#world;
    clock.after(dice.whole(lowMs, highMs), () => {
      if (clock.now() > until) return;
      act();
      this.#repeat(act, lowMs, highMs, until);
    });
  }

  #ask(): void {
    const { clock, dice, pools, requested } = this.#world;
    const pool = dice.pick(pools);
    const id = this.#world.nextRequest();
    requested.set(id, pool.model);
    const client = pool.submit(id, dice.chance(0.7));
    if (dice.chance(0.1)) clock.after(dice.whole(0, 10_000), () => pool.abandon(client));
  }

  #breakSomething(): void {
    if (this.#isOver) return;
    const { clock, dice, fleet, machines, pools } = this.#world;
    const machine = dice.pick(machines);
    const pool = dice.pick(pools);
    const kind = dice.pick(FAULTS);
    this.#world.log(() => `FAULT ${kind} ${machine.id} ${pool.model}`);
    switch (kind) {
      case "cut":
        for (const wire of [...pool.wires].filter((open) => open.isOpen && dice.chance(0.5))) {
          const isQuiet = dice.chance(0.3);
          wire.cut(isQuiet ? 200_000 : dice.whole(0, 5000), dice.chance(0.3) ? 200_000 : dice.whole(0, 5000));
        }
        return;
      case "crash":
        machine.kill();
        clock.after(dice.whole(100, 40_000), () => machine.start());
        return;
      case "version":
        machine.version = machine.version === "0.7.0" ? "0.6.0" : "0.7.0";
        machine.wasUnmanageable = true;
        // The outcome depends on which came first, the operator's order or the register.
        this.#world.wanted.delete(machine.id);
        machine.kill();
        clock.after(dice.whole(100, 5000), () => machine.start());
        return;
      case "evict":
        pool.evict();
        return;
      case "reset":
        pool.reset();
        return;
      case "deploy":
        for (const each of pools) each.reset();
        fleet.restart();
        return;
      case "fleet restart":
        fleet.restart();
        return;
      case "fleet down":
        fleet.downUntil = clock.now() + dice.whole(1000, 40_000);
        return;
      case "engine":
        machine.engine?.loaded?.die();
        return;
      case "stranger": {
        // Somebody dials under the machine's id while the fleet does not answer, and never registers.
        const wire = new Wire(this.#world, machine, { onOpen: () => {}, onText: () => {}, onEnd: () => {} });
        pool.accept(
          wire,
          { machineId: machine.id, owner: "stranger", tokenId: "token" },
          { mode: "unknown" },
        );
      }
    }
  }
}

type Kind =
  | "cut"
  | "crash"
  | "version"
  | "evict"
  | "reset"
  | "deploy"
  | "fleet restart"
  | "fleet down"
  | "engine"
  | "stranger";

/** Relative frequency of each fault. */
const WEIGHTS: readonly (readonly [Kind, number])[] = [
  ["cut", 6],
  ["crash", 4],
  ["version", 1],
  ["evict", 4],
  ["reset", 3],
  ["deploy", 1],
  ["fleet restart", 3],
  ["fleet down", 2],
  ["engine", 2],
  ["stranger", 1],
];

const FAULTS = WEIGHTS.flatMap(([kind, weight]) => Array.from({ length: weight }, () => kind));
