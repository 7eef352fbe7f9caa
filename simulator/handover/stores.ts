import type { FlagState, FlagStore } from "../../core/fleet/flag-book.ts";
import type { Cooldown, FleetStore, Intent, Machine, Membership, Switch } from "../../core/fleet/machine.ts";
import type { LoadTime, PlacementMemory, PlacementStore, PlanRecord } from "../../core/fleet/plan-record.ts";
import type { ScheduleMemory } from "../../core/fleet/tick-schedule.ts";
import type { Score } from "../../core/placement/score.ts";
import type { CordonStore } from "../../core/pool/cordons.ts";
import type { PoolRecord, RecordStore } from "../../core/pool/record.ts";
import type { MachineId, ModelId } from "../../protocol/ids.ts";
import { copyOf } from "./copy.ts";

/** Disks: what is written survives restarts, and is copied, so that no caller can change it later. */

export class MemoryRecordStore implements RecordStore {
  readonly records = new Map<MachineId, PoolRecord>();

  all(): PoolRecord[] {
    return copyOf([...this.records.values()]);
  }

  put(record: PoolRecord): void {
    // As in SQLite, how far a load was is not kept.
    this.records.set(record.machineId, copyOf({ ...record, progress: 0 }));
  }

  remove(machineId: MachineId): void {
    this.records.delete(machineId);
  }
}

export class MemoryCordonStore implements CordonStore {
  readonly #asOf = new Map<MachineId, number>();

  all(): [MachineId, number][] {
    return [...this.#asOf];
  }

  put(machineId: MachineId, asOf: number): void {
    this.#asOf.set(machineId, asOf);
  }

  remove(machineId: MachineId): void {
    this.#asOf.delete(machineId);
  }
}

export class MemoryFleetStore implements FleetStore, FlagStore {
  readonly #machines = new Map<MachineId, Machine>();
  readonly #memberships = new Map<string, Membership>();
  readonly #intents = new Map<MachineId, Intent>();
  readonly #cooldowns = new Map<string, Cooldown>();
  readonly #flags = new Map<string, FlagState>();
  #flagsVersion = 0;
  readonly #configured = new Map<string, number>();
  readonly #switches: Switch[] = [];

  machines(): Machine[] {
    return copyOf([...this.#machines.values()]);
  }

  saveMachine(machine: Machine): void {
    this.#machines.set(machine.machineId, copyOf(machine));
  }

  removeMachine(machineId: MachineId): void {
    this.#machines.delete(machineId);
  }

  memberships(): Membership[] {
    return copyOf([...this.#memberships.values()]);
  }

  saveMembership(membership: Membership): void {
    this.#memberships.set(`${membership.machineId} ${membership.pool}`, { ...membership });
  }

  removeMembership(machineId: MachineId, pool: string): void {
    this.#memberships.delete(`${machineId} ${pool}`);
  }

  intents(): Intent[] {
    return copyOf([...this.#intents.values()]);
  }

  saveIntent(intent: Intent): void {
    this.#intents.set(intent.machineId, copyOf(intent));
  }

  removeIntent(machineId: MachineId): void {
    this.#intents.delete(machineId);
  }

  cooldowns(): Cooldown[] {
    return [...this.#cooldowns.values()];
  }

  saveCooldown(cooldown: Cooldown): void {
    this.#cooldowns.set(`${cooldown.machineId} ${cooldown.model}`, { ...cooldown });
  }

  removeCooldown(machineId: MachineId, model: ModelId): void {
    this.#cooldowns.delete(`${machineId} ${model}`);
  }

  configured(): [pool: string, version: number][] {
    return [...this.#configured];
  }

  saveConfigured(pool: string, version: number): void {
    this.#configured.set(pool, version);
  }

  addSwitch(entry: Switch): void {
    this.#switches.push(entry);
  }

  removeRepeated({ machineId, from, to, reason, outcome, error }: Switch): void {
    const last = this.#switches.findLastIndex((line) => line.machineId === machineId);
    const known = this.#switches[last];
    const isSame =
      known?.from === from &&
      known.to === to &&
      known.reason === reason &&
      known.outcome === outcome &&
      known.error === error;
    if (isSame) this.#switches.splice(last, 1);
  }

  switches(limit: number): Switch[] {
    return this.#switches.toReversed().slice(0, limit);
  }

  flags(): FlagState[] {
    return copyOf([...this.#flags.values()]);
  }

  saveFlag(state: FlagState, version: number): void {
    this.#flags.set(state.name, { ...state });
    this.#flagsVersion = version;
  }

  flagsVersion(): number {
    return this.#flagsVersion;
  }
}

export class MemoryPlacementStore implements PlacementStore {
  #memory: PlacementMemory | null = null;
  #score: Score | null = null;
  #schedule: ScheduleMemory | null = null;
  readonly #inDemand = new Set<string>();
  readonly #plans: PlanRecord[] = [];
  readonly #loadTimes = new Map<string, LoadTime>();

  placement(): PlacementMemory | null {
    return copyOf(this.#memory);
  }

  savePlacement(memory: PlacementMemory): void {
    this.#memory = copyOf(memory);
  }

  score(): Score | null {
    return this.#score;
  }

  saveScore(score: Score): void {
    this.#score = copyOf(score);
  }

  addPlan(plan: PlanRecord): void {
    this.#plans.push(copyOf(plan));
  }

  plans(limit: number): PlanRecord[] {
    return this.#plans.toReversed().slice(0, limit);
  }

  schedule(): ScheduleMemory | null {
    return this.#schedule;
  }

  saveSchedule(memory: ScheduleMemory): void {
    this.#schedule = { ...memory };
  }

  poolsInDemand(): string[] {
    return [...this.#inDemand];
  }

  addPoolInDemand(pool: string): void {
    this.#inDemand.add(pool);
  }

  clearPoolsInDemand(): void {
    this.#inDemand.clear();
  }

  loadTimes(): LoadTime[] {
    return [...this.#loadTimes.values()];
  }

  saveLoadTime(loadTime: LoadTime): void {
    this.#loadTimes.set(`${loadTime.machineId} ${loadTime.model}`, { ...loadTime });
  }

  removeLoadTimes(machineId: MachineId): void {
    for (const [name, loadTime] of this.#loadTimes)
      if (loadTime.machineId === machineId) this.#loadTimes.delete(name);
  }
}
