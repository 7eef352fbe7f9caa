import type { MachineId } from "../../protocol/ids.ts";
import type { Tokens } from "./usage.ts";

/**
 * What each machine has answered, by UTC day: what its owner has given to the fleet. Counted in memory and written with the other
 * counts.
 */
export interface MachineWork extends Tokens {
  readonly machineId: MachineId;
  /** Whose it was then. Once it is deleted, its id may become another owner's, who is told only of their own. */
  readonly owner: string;
  /** Start of the day, ms since the epoch. */
  readonly dayAt: number;
  readonly requests: number;
}

export type OwnedMachineId = Pick<MachineWork, "machineId" | "owner">;

const DAY_MS = 86_400_000;

export class MachineWorkBook {
  readonly #counts = new Map<string, MachineWork>();

  answered({ machineId, owner }: OwnedMachineId, tokens: Tokens, now: number): void {
    const { promptTokens, completionTokens, cachedTokens } = tokens;
    const dayAt = now - (now % DAY_MS);
    const name = `${dayAt} ${machineId} ${owner}`;
    const answer = { machineId, owner, dayAt, requests: 1, promptTokens, completionTokens, cachedTokens };
    this.#counts.set(name, sum(this.#counts.get(name), answer));
  }

  /**
   * What one machine has answered for its owner on the days since `since` (ms since the epoch), the oldest first. To write it
   * before it is told would cost rows each time that an owner asks.
   * @param written of those days.
   */
  withUnwritten(machine: OwnedMachineId, since: number, written: readonly MachineWork[]): MachineWork[] {
    const days = new Map(written.map((row) => [row.dayAt, row]));
    for (const row of this.#counts.values()) {
      const isAsked =
        row.machineId === machine.machineId && row.owner === machine.owner && row.dayAt >= since;
      if (isAsked) days.set(row.dayAt, sum(days.get(row.dayAt), row));
    }
    return [...days.values()].toSorted((one, other) => one.dayAt - other.dayAt);
  }

  get isEmpty(): boolean {
    return this.#counts.size === 0;
  }

  /** Takes everything counted since the last call. */
  drain(): MachineWork[] {
    const rows = [...this.#counts.values()];
    this.#counts.clear();
    return rows;
  }
}

function sum(known: MachineWork | undefined, more: MachineWork): MachineWork {
  if (known === undefined) return more;
  return {
    ...more,
    requests: known.requests + more.requests,
    promptTokens: known.promptTokens + more.promptTokens,
    completionTokens: known.completionTokens + more.completionTokens,
    cachedTokens: known.cachedTokens + more.cachedTokens,
  };
}
