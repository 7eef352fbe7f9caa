import type { Cooldown, FleetStore, Intent, Machine, Membership, Switch } from "../../core/fleet/machine.ts";
import type { FlagState, FlagStore } from "../../core/fleet/settings.ts";
import type { PoolRecord, RecordStore } from "../../core/pool/record.ts";
import type { MachineId, ModelId } from "../../protocol/ids.ts";

/** Disks: what is written survives restarts, and nobody changes it through an object that he still holds. */

export class MemoryRecordStore implements RecordStore {
  readonly records = new Map<MachineId, PoolRecord>();

  all(): PoolRecord[] {
    return structuredClone([...this.records.values()]);
  }

  put(record: PoolRecord): void {
    // As in SQLite, how far a load was is not kept.
    this.records.set(record.machineId, structuredClone({ ...record, progress: 0 }));
  }

  remove(machineId: MachineId): void {
    this.records.delete(machineId);
  }
}

export class MemoryFleetStore implements FleetStore, FlagStore {
  readonly #machines = new Map<MachineId, Machine>();
  readonly #memberships = new Map<string, Membership>();
  readonly #intents = new Map<MachineId, Intent>();
  readonly #cooldowns = new Map<string, Cooldown>();
  readonly #flags = new Map<string, FlagState>();
  #flagsVersion = 0;
  readonly #switches: Switch[] = [];

  machines(): Machine[] {
    return structuredClone([...this.#machines.values()]);
  }

  saveMachine(machine: Machine): void {
    this.#machines.set(machine.machineId, structuredClone(machine));
  }

  memberships(): Membership[] {
    return structuredClone([...this.#memberships.values()]);
  }

  saveMembership(membership: Membership): void {
    this.#memberships.set(`${membership.machineId} ${membership.pool}`, { ...membership });
  }

  removeMembership(machineId: MachineId, pool: string): void {
    this.#memberships.delete(`${machineId} ${pool}`);
  }

  intents(): Intent[] {
    return structuredClone([...this.#intents.values()]);
  }

  saveIntent(intent: Intent): void {
    this.#intents.set(intent.machineId, structuredClone(intent));
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

  addSwitch(entry: Switch): void {
    this.#switches.push(entry);
  }

  switches(limit: number): Switch[] {
    return this.#switches.toReversed().slice(0, limit);
  }

  flags(): FlagState[] {
    return structuredClone([...this.#flags.values()]);
  }

  saveFlag(state: FlagState, version: number): void {
    this.#flags.set(state.name, { ...state });
    this.#flagsVersion = version;
  }

  flagsVersion(): number {
    return this.#flagsVersion;
  }
}
