import { epochSchema, NEVER_MANAGED } from "../../../protocol/ids.ts";
import type { HeldAssignment } from "../../../provider/src/agent/assignment.ts";
import { Duty } from "../../../provider/src/agent/duty.ts";
import { EngineError } from "../../../provider/src/engine.ts";
import { Hooks } from "../hooks.ts";
import type { MachineHost } from "../machine-host.ts";
import { all, replace } from "./replace.ts";

/** Rules that a provider keeps, each taken away. */

/** A provider obeys any order that comes, also one that is older than what it holds. */
export class OlderOrdersObeyed extends Hooks {
  /** The epoch an older order had, by the one it was dressed up with. */
  readonly #worn = new Map<number, HeldAssignment["epoch"]>();
  #next = 2 ** 40;

  override install(): () => void {
    const { take, held } = Duty.prototype;
    const worn = this.#worn;
    const dress = (real: HeldAssignment["epoch"]): HeldAssignment["epoch"] => {
      const epoch = epochSchema.parse(this.#next++);
      worn.set(epoch, real);
      return epoch;
    };
    const undo = [
      replace(Duty.prototype, "take", function (this: Duty, order) {
        const holds = held.call(this);
        const real = worn.get(holds.epoch) ?? holds.epoch;
        const isSame = order.epoch === real && order.modelId === holds.modelId;
        if (order.epoch === NEVER_MANAGED || (isSame && real === holds.epoch)) return take.call(this, order);
        return take.call(this, { ...order, epoch: isSame ? holds.epoch : dress(order.epoch) });
      }),
      replace(Duty.prototype, "held", function (this: Duty) {
        const holds = held.call(this);
        return { ...holds, epoch: worn.get(holds.epoch) ?? holds.epoch };
      }),
    ];
    return all(undo);
  }

  override saved(_machine: MachineHost, held: HeldAssignment): HeldAssignment {
    return { ...held, epoch: this.#worn.get(held.epoch) ?? held.epoch };
  }

  override fromAgent(text: string): string {
    return text.replaceAll(/"epoch":(\d+)/g, (whole: string, epoch: string) => {
      const real = this.#worn.get(Number(epoch));
      return real === undefined ? whole : `"epoch":${real}`;
    });
  }
}

/** A switch does not look whether another one has taken over, and goes on to unload what it finds. */
export class CancelledSwitchUnloads extends Hooks {
  override install(): () => void {
    const { throwIfAborted } = AbortSignal.prototype;
    return replace(AbortSignal.prototype, "throwIfAborted", function (this: AbortSignal) {
      const isSwitch = this.reason instanceof EngineError && this.reason.message === SUPERSEDED;
      if (!isSwitch) throwIfAborted.call(this);
    });
  }
}

/** How the provider words that a newer order has taken over from a switch. */
const SUPERSEDED = "this machine switches to another model";
