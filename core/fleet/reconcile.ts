import { machineIdSchema, type Epoch, type MachineId, type ModelId } from "../../protocol/ids.ts";
import { HANDOVER_RETRY_MIN_MS, MEMBERSHIP_GRACE_MS } from "../limits.ts";
import type { PoolCall } from "../pool/calls.ts";
import { isManaged } from "../pool/record.ts";
import type { PoolReport, RecordReport } from "../pool/report.ts";
import type { Cooldowns } from "./cooldowns.ts";
import type { Handover } from "./handover.ts";
import type { Intents } from "./intents.ts";
import { hasEpochLeft, RETRIED, type Intent } from "./machine.ts";
import type { Memberships } from "./memberships.ts";

/**
 * Reconciles the fleet's decisions with the pools' reports, to repair lost messages: it finishes orders that the pools report
 * as finished, repeats orders that they have lost, and drops memberships that they do not have. A failed machine gets its
 * model again after its cooldown.
 */

export interface ReconcilePorts {
  callPool(pool: string, call: PoolCall): void;
  /** Asks a pool for its report, which comes to `onReport`. */
  askPool(pool: string, now: number): void;
  readonly cooldowns: Cooldowns;
}

type Forget = Extract<PoolCall, { kind: "forget" }>;

export class Reconciler {
  readonly #handover: Handover;
  readonly #intents: Intents;
  readonly #memberships: Memberships;
  readonly #ports: ReconcilePorts;

  constructor(handover: Handover, intents: Intents, memberships: Memberships, ports: ReconcilePorts) {
    this.#handover = handover;
    this.#intents = intents;
    this.#memberships = memberships;
    this.#ports = ports;
  }

  /** @param readAt when the report was asked for, ms since the epoch: it says nothing about what came after. */
  onReport(pool: string, report: PoolReport, readAt: number, now: number): void {
    const present = new Map(report.machines.map((machine) => [machine.machineId, machine]));
    for (const { machineId, dialedAt } of this.#memberships.inPool(pool)) {
      const seen = present.get(machineId);
      const intent = this.#intents.get(machineId);
      if (seen?.record != null) this.#handover.observed(machineId, pool, seen.record, now);
      const isHere = intent?.model === pool;
      if (isHere && isSettled(intent, readAt) && !isExpectedStill(seen?.record ?? null, intent.epoch)) {
        this.#handover.lost(intent, now);
      } else if (!isHere && seen?.isConnected !== true && readAt - dialedAt > MEMBERSHIP_GRACE_MS) {
        this.#ports.callPool(pool, { kind: "forget", machineId });
      }
    }
    for (const [machineId, { isConnected }] of present) {
      if (isConnected) this.connected(machineIdSchema.parse(machineId), now);
    }
  }

  /** The machine can be reached: it gets the order again that it let pass, unless it cools down. */
  connected(machineId: MachineId, now: number): void {
    const intent = this.#intents.get(machineId);
    if (intent === null || !hasMissedOrder(intent) || !hasEpochLeft(intent)) return;
    if (!this.#ports.cooldowns.has(machineId, intent.model)) this.#orderAgain(intent, now);
  }

  /**
   * The machine offers models that its last register did not have. If it failed for lack of its own model, the cause is gone,
   * and there is nothing to wait for.
   */
  hasGained(machineId: MachineId, models: readonly ModelId[], now: number): void {
    const intent = this.#intents.get(machineId);
    if (intent?.outcome !== "failed" || intent.error?.code !== "model_not_on_disk") return;
    const { model } = intent;
    if (model === null || !models.includes(model)) return;
    this.#ports.cooldowns.remove({ machineId, model });
    this.#orderAgain(intent, now, "it has its model now");
  }

  /** The pool has neither a socket nor a record of the machine, so the membership ends (H1). */
  onForgotten(pool: string, { machineId }: Forget, now: number): void {
    const membership = this.#memberships.get(machineId, pool);
    const intent = this.#intents.get(machineId);
    // A dial may have been answered since the question was asked.
    if (membership === null || now - membership.dialedAt <= MEMBERSHIP_GRACE_MS) return;
    if (intent?.model === pool || intent?.pending.includes(pool) === true) return;
    // So may an order: the pool may have a record again, from a call that came after the question. While pools are
    // still asked to let go, one that has may hear the call once more.
    const isCalling = intent?.phase === "releasing" || intent?.phase === "expecting";
    if (intent !== null && (isCalling || now - intent.phaseAt <= MEMBERSHIP_GRACE_MS)) return;
    this.#memberships.remove(machineId, pool);
  }

  /**
   * @param cooldownMs how long the machine is left alone with this model. One that holds another order of this epoch has
   *   not tried to load anything: it only needs a higher one (H9).
   */
  onFailed({ machineId, model, error }: Intent, cooldownMs: number, now: number): void {
    if (model === null) return;
    const waitMs =
      error?.code === "epoch_conflict" ? Math.min(cooldownMs, HANDOVER_RETRY_MIN_MS) : cooldownMs;
    this.#ports.cooldowns.save({ machineId, model, until: now + waitMs });
  }

  /**
   * A failed machine gets its model again, unless something else has been decided for it since (H13, C19). One that has not
   * reported its failure itself may be gone: repeated orders would keep the whole fleet awake and fill the history.
   * @param cooldownMs none lasts longer: one that would was written by a clock ahead of this one, or under another flag.
   */
  retryAfterCooldowns(cooldownMs: number, now: number): void {
    for (const cooldown of this.#ports.cooldowns.all()) {
      const { machineId, model, until } = cooldown;
      if (now < until && until - now <= cooldownMs) continue;
      const intent = this.#intents.get(machineId);
      if (intent?.outcome === "failed" && intent.model === model) {
        if (!hasMissedOrder(intent)) this.#orderAgain(intent, now);
        else for (const pool of this.#memberships.of(machineId)) this.#ports.askPool(pool, now);
      }
      // Last, because nothing else would give the machine its model again.
      this.#ports.cooldowns.remove(cooldown);
    }
  }

  #orderAgain({ machineId, model, isPinned }: Intent, now: number, reason = RETRIED): void {
    this.#handover.begin({ machineId, model, reason, isPinned }, now);
  }
}

/** Whether it failed by a deadline and not by the machine's own report. */
function hasMissedOrder({ outcome, error }: Intent): boolean {
  return outcome === "failed" && error?.code === "deadline";
}

/** The pool was told to expect the machine before the report was asked for, so it must have a record. */
function isSettled({ phase, outcome, phaseAt }: Intent, readAt: number): boolean {
  const wasExpected = phase === "ordered" || (phase === "done" && outcome === "succeeded");
  return wasExpected && phaseAt < readAt;
}

function isExpectedStill(record: RecordReport | null, epoch: Epoch): boolean {
  return record !== null && record.epoch >= epoch && isManaged(record.mode);
}
