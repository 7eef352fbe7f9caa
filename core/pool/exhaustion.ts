import type { ModelId } from "../../protocol/ids.ts";
import type { ApiError } from "../api-error.ts";
import { SUPPLY_ANSWER_MS, SUPPLY_FRESH_MS } from "../limits.ts";
import type { PoolSettings, Supply } from "./settings.ts";

/**
 * The refusal when no machine of the pool is routable. If machines of the fleet could hold the model, it is `pool_exhausted`,
 * which clients retry elsewhere or later; if none could, it is `model_unavailable` (C5). That is never guessed: without
 * information from the fleet the pool counts as exhausted.
 */

export function noMachine(model: ModelId, { flags, supply }: PoolSettings, now: number): ApiError {
  if (flags.pool_exhausted_429 !== "on") {
    return { code: "model_unavailable", message: `no machine serves "${model}" at the moment` };
  }
  if (isWithoutSupply(supply, now)) {
    const message = `no machine serves "${model}", and none that is known could`;
    return { code: "model_unavailable", message, isFinal: true };
  }
  return {
    code: "pool_exhausted",
    message: `no machine serves "${model}" at the moment, but some could; try again later`,
  };
}

/** An operator has switched the model off for the moment. */
export function shed(model: ModelId): ApiError {
  const message = `"${model}" is switched off by an operator for the moment`;
  return { code: "model_shed", message };
}

function isWithoutSupply({ have, couldHold, at }: Supply, now: number): boolean {
  return now - at < SUPPLY_FRESH_MS && have === 0 && couldHold === 0;
}

/** The question that a pool which has never seen a machine asks the fleet; repeated when the answer is stale. */
export class SupplyQuestion {
  #askedAt = -Infinity;

  /** Whether the answer is worth waiting for: none is fresh, and none has been given up on. */
  isOpen({ at }: Supply, now: number): boolean {
    if (now - at < SUPPLY_FRESH_MS) return false;
    const sinceAsked = now - this.#askedAt;
    return sinceAsked < SUPPLY_ANSWER_MS || sinceAsked >= SUPPLY_FRESH_MS;
  }

  /** @returns whether it must be asked now, because it is not under way. */
  ask(now: number): boolean {
    if (now - this.#askedAt < SUPPLY_ANSWER_MS) return false;
    this.#askedAt = now;
    return true;
  }
}
