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

const DAY_MS = 86_400_000;

export class MachineWorkBook {
  readonly #counts = new Map<string, MachineWork>();

  answered(
    { machineId, owner }: Pick<MachineWork, "machineId" | "owner">,
    tokens: Tokens,
    now: number,
  ): void {
    const dayAt = now - (now % DAY_MS);
    const name = `${dayAt} ${machineId} ${owner}`;
    const known = this.#counts.get(name);
    this.#counts.set(name, {
      machineId,
      owner,
      dayAt,
      requests: (known?.requests ?? 0) + 1,
      promptTokens: (known?.promptTokens ?? 0) + tokens.promptTokens,
      completionTokens: (known?.completionTokens ?? 0) + tokens.completionTokens,
      cachedTokens: (known?.cachedTokens ?? 0) + tokens.cachedTokens,
    });
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
