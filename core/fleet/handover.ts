import type { AssignModel } from "../../protocol/downstream.ts";
import {
  epochSchema,
  MAX_EPOCH,
  MAX_FOREIGN_EPOCH,
  NEVER_MANAGED,
  type Epoch,
  type MachineId,
  type ModelId,
} from "../../protocol/ids.ts";
import {
  DRAIN_TIMEOUT_MS,
  HANDOVER_RETRY_MAX_MS,
  HANDOVER_RETRY_MIN_MS,
  LOAD_TIMEOUT_MS,
  ORDER_TIMES,
} from "../limits.ts";
import type { PoolCall, PoolReply } from "../pool/calls.ts";
import type { RecordReport } from "../pool/report.ts";
import type { Intents } from "./intents.ts";
import type { Intent } from "./machine.ts";
import type { Memberships } from "./memberships.ts";
import {
  afterReply,
  intentFor,
  isUnread,
  releaseStepOf,
  soleHolder,
  type OrderRequest,
} from "./order-request.ts";

/**
 * Moves a machine from one pool to another, or out of all of them, so that two pools never route to it at the same time:
 * first every other pool confirms that it has released the machine, then the new one is told to expect it, and only then is
 * the machine told. Each phase is stored before its calls go out, and repeats them until all are answered, so that no crash at
 * any point loses anything. A missing reply never counts as a reply (H3).
 *
 *     releasing ──all confirmed──> expecting ──confirmed──> ordered ──assigned or failed──> done
 */

export interface HandoverPorts {
  /** Calls a pool; the answer comes back through `replied`, or never. */
  callPool(pool: string, call: PoolCall): void;
  /** Pools an unmanaged machine should hold a socket to. */
  poolsOf(machineId: MachineId): readonly ModelId[];
  publicKeyOf(machineId: MachineId): string;
  /** Whether the machine's provider knows orders at all; one that is too old is never sent any (C16). */
  knowsOrders(machineId: MachineId): boolean;
  /** Time between two ticks. */
  tickMs(): number;
  /** An order is about to end as failed. */
  onFailed(intent: Intent, now: number): void;
  /** There is no epoch left for an order, so the machine stays as it is; for others everything goes on. */
  onEpochsUsedUp(machineId: MachineId, reason: string): void;
}

/** Why an order is given anew that a later version has written. */
export const NOT_UNDERSTOOD = "the order was not understood";

export class Handover {
  readonly #intents: Intents;
  readonly #memberships: Memberships;
  readonly #ports: HandoverPorts;

  constructor(intents: Intents, memberships: Memberships, ports: HandoverPorts) {
    this.#intents = intents;
    this.#memberships = memberships;
    this.#ports = ports;
  }

  /**
   * Begins a switch under a new epoch; an unfinished one is superseded and its open releases are taken over (H4).
   * @param above an epoch seen elsewhere that the new one must exceed (H9).
   * @returns null, and changes nothing, if the machine's epochs are used up.
   */
  begin(request: OrderRequest, now: number, above: Epoch = NEVER_MANAGED): Intent | null {
    const { machineId, model, reason } = request;
    const before = this.#intents.get(machineId);
    const highest = Math.max(before?.epoch ?? NEVER_MANAGED, above);
    if (highest >= MAX_EPOCH) {
      this.#ports.onEpochsUsedUp(machineId, reason);
      return null;
    }
    if (before !== null && before.outcome === null) this.#intents.note(before, "superseded", now);
    const members = this.#memberships.of(machineId);
    if (model !== null) this.#memberships.add(machineId, model, now);
    const intent = intentFor(request, epochSchema.parse(highest + 1), before, members, now);
    return this.#enter(intent, "releasing", now);
  }

  /** A pool is about to hold a socket of the machine: whoever asks pools to let go must ask this one too. */
  dialed(machineId: MachineId, pool: string, now: number): void {
    const intent = this.#intents.get(machineId);
    if (intent === null || intent.phase !== "releasing" || intent.model === pool) return;
    // The order that follows asks all of them: to ask this one alone would free the machine here before its holder lets go.
    if (intent.pending.includes(pool) || isUnread(intent)) return;
    this.#intents.save({ ...intent, pending: [...intent.pending, pool], retryAt: now });
  }

  /** What `registered` and `assign_model` say while this intent stands; null while the machine must not know yet. */
  orderFor(machineId: MachineId): AssignModel | null {
    const intent = this.#intents.get(machineId);
    if (intent === null || intent.phase === "releasing" || intent.phase === "expecting") return null;
    const { model, epoch, reason } = intent;
    return {
      type: "assign_model",
      model_id: model,
      epoch,
      pools: model === null ? [...this.#ports.poolsOf(machineId)] : [model],
      reason,
      ...ORDER_TIMES,
    };
  }

  /** A pool has answered. Answers to older epochs count for nothing (H4). */
  replied(pool: string, call: PoolCall, reply: PoolReply, now: number): void {
    if (call.kind === "order") {
      if (reply.kind === "told" && reply.reached && pool === call.order.model_id)
        this.arrived(call.machineId);
      return;
    }
    if (reply.kind !== "verdict" || !("epoch" in call)) return;
    const intent = this.#intents.get(call.machineId);
    if (intent === null || intent.epoch !== call.epoch) return;
    const { verdict } = reply;
    if (!verdict.ok) {
      this.repair(call.machineId, verdict.stale, now);
      return;
    }
    if (call.kind === "expect") {
      if (intent.phase === "expecting") this.#enter(intent, "ordered", now);
    } else if (intent.phase === "releasing") this.#released(intent, pool, call.kind, now);
  }

  #released(intent: Intent, pool: string, kind: PoolCall["kind"], now: number): void {
    const step = releaseStepOf(intent);
    if (kind !== step.kind || !step.pools.includes(pool)) return;
    const rest = afterReply(intent, pool, kind);
    this.#intents.save(rest);
    if (rest.pending.length === 0) this.#enter(rest, rest.model === null ? "ordered" : "expecting", now);
    else if (step.pools.length < intent.pending.length) this.#call(rest);
  }

  /** A higher or conflicting epoch was reported: repeats the same order under a higher one (H9). */
  repair(machineId: MachineId, seen: Epoch, now: number): void {
    const intent = this.#intents.get(machineId);
    const model = intent?.model ?? null;
    const reason = intent?.reason ?? "the machine's epoch was newer than the fleet's";
    this.begin({ machineId, model, reason, isPinned: intent?.isPinned ?? false }, now, seen);
  }

  /** The target pool's record of the machine, by its report or by the fleet's look at it. */
  observed(machineId: MachineId, pool: string, record: RecordReport, now: number): void {
    const intent = this.#intents.get(machineId);
    if (intent === null) return;
    if (record.epoch > intent.epoch) {
      this.repair(machineId, epochSchema.parse(record.epoch), now);
      return;
    }
    if (record.epoch !== intent.epoch || intent.model !== pool) return;
    // A failed intent is left by a newer one only, whatever the pool says.
    if (intent.outcome === "failed") return;
    switch (record.mode) {
      case "draining":
      case "loading":
        this.#heard(intent);
        return;
      case "assigned":
        if (intent.outcome === null) this.#finish(intent, "succeeded", null, now);
        return;
      case "failed":
        // Before it has failed: without a cooldown it would never be given its model again.
        this.#ports.onFailed({ ...intent, error: record.error }, now);
        this.#finish(intent, "failed", record.error, now);
        return;
      case "expected":
      case "released":
      case "unmanaged":
        return;
    }
  }

  /** What a machine says it holds: how the fleet learns that a release was heard, and of epochs it does not know. */
  holds(machineId: MachineId, model: ModelId | null, epoch: Epoch, now: number): void {
    const intent = this.#intents.get(machineId);
    const known = intent?.epoch ?? NEVER_MANAGED;
    // No order could have a higher epoch; its next register is refused.
    if (epoch > known && epoch > MAX_FOREIGN_EPOCH) return;
    const clashes = epoch === known && epoch > 0 && model !== (intent?.model ?? null);
    if (epoch > known || clashes) this.repair(machineId, epoch, now);
    else if (intent?.phase === "ordered" && epoch === known) {
      if (intent.model === null) this.#finish(intent, "succeeded", null, now);
      else this.#heard(intent);
    }
  }

  /** The machine has a socket in the pool it belongs to: the others may close theirs (H6). */
  arrived(machineId: MachineId): void {
    const intent = this.#intents.get(machineId);
    if (intent?.model == null || intent.phase === "releasing" || intent.phase === "expecting") return;
    for (const pool of this.#memberships.of(machineId)) {
      if (pool === intent.model) continue;
      this.#ports.callPool(pool, { kind: "dismiss", machineId, epoch: intent.epoch });
    }
  }

  /** The target pool has lost its record of the machine: the order starts again. */
  lost(intent: Intent, now: number): void {
    this.#again(intent, "the pool had lost its record", now);
  }

  /** Repeats what is unanswered. */
  tick(now: number): void {
    for (const intent of this.#intents.all()) {
      if (intent.retryAt === null || !isDue(intent.retryAt, now)) continue;
      const isOutOfReach = intent.phase === "ordered" && this.#memberships.of(intent.machineId).length === 0;
      if (isOutOfReach) {
        // Its next dial tells it; until then there is nobody to call.
        this.#intents.save({ ...intent, retryAt: null });
        continue;
      }
      if (isUnread(intent) && intent.rounds > 0) {
        this.#again(intent, NOT_UNDERSTOOD, now);
        continue;
      }
      const rounds = intent.rounds + 1;
      this.#intents.save({ ...intent, rounds, retryAt: now + this.#waitMs(intent.phase, rounds) });
      this.#call(intent);
    }
  }

  /** A machine that is back is told at once what it has missed. */
  woken(machineId: MachineId, now: number): void {
    const intent = this.#intents.get(machineId);
    if (intent === null || intent.phase === "done" || intent.isHeard) return;
    // It may have come back with an older version, or nobody knew which it had.
    if (intent.phase === "ordered" && this.#isNotSent(intent)) this.#finish(intent, "succeeded", null, now);
    else this.#intents.save({ ...intent, rounds: 0, retryAt: now });
  }

  /** A release that is recorded and not sent: the machine never held anything, and its pools treat it as unmanaged now (H14). */
  #isNotSent({ machineId, model }: Intent): boolean {
    return model === null && !this.#ports.knowsOrders(machineId);
  }

  #again({ machineId, model, isPinned }: Intent, reason: string, now: number): void {
    this.begin({ machineId, model, reason, isPinned }, now);
  }

  #enter(intent: Intent, phase: "releasing" | "expecting" | "ordered", now: number): Intent {
    if (phase === "releasing" && intent.pending.length === 0) {
      return this.#enter(intent, intent.model === null ? "ordered" : "expecting", now);
    }
    if (phase === "ordered" && this.#isNotSent(intent)) return this.#finish(intent, "succeeded", null, now);
    const entered: Intent = {
      ...intent,
      phase,
      holders: phase === "releasing" ? intent.holders : soleHolder(intent),
      phaseAt: now,
      rounds: 0,
      retryAt: now + HANDOVER_RETRY_MIN_MS,
    };
    this.#intents.save(entered);
    this.#call(entered);
    return entered;
  }

  #call(intent: Intent): void {
    const { machineId, epoch, model, phase } = intent;
    switch (phase) {
      case "releasing": {
        const { kind, pools } = releaseStepOf(intent);
        for (const pool of pools) this.#ports.callPool(pool, { kind, machineId, epoch });
        return;
      }
      case "expecting": {
        if (model === null) return;
        const publicKey = this.#ports.publicKeyOf(machineId);
        const terms = { drainMs: DRAIN_TIMEOUT_MS, loadMs: LOAD_TIMEOUT_MS, publicKey };
        this.#ports.callPool(model, { kind: "expect", machineId, epoch, terms });
        return;
      }
      case "ordered": {
        const order = this.orderFor(machineId);
        if (order === null) return;
        for (const pool of this.#memberships.of(machineId)) {
          this.#ports.callPool(pool, { kind: "order", machineId, order });
        }
        return;
      }
      case "done":
        return;
    }
  }

  /** Calls are repeated with backoff; an order that the machine may have missed is sent at each tick as well (H6). */
  #waitMs(phase: Intent["phase"], rounds: number): number {
    return Math.min(backoffMs(rounds), phase === "ordered" ? this.#ports.tickMs() : Infinity);
  }

  /** Nothing to repeat any more: the record tells how it goes on. */
  #heard(intent: Intent): void {
    if (intent.phase === "ordered" && !intent.isHeard)
      this.#intents.save({ ...intent, isHeard: true, retryAt: null });
  }

  #finish(intent: Intent, outcome: "succeeded" | "failed", error: Intent["error"], now: number): Intent {
    const done: Intent = {
      ...intent,
      phase: "done",
      holders: soleHolder(intent),
      outcome,
      error,
      phaseAt: now,
      retryAt: null,
    };
    this.#intents.save(done);
    // A machine that fails after it had served ends a second time under one epoch: another line of history, from there on.
    const hadServed = intent.outcome === "succeeded";
    this.#intents.note(
      hadServed ? { ...done, from: done.model, startedAt: intent.phaseAt } : done,
      outcome,
      now,
    );
    return done;
  }
}

/** Nothing is delayed for longer than the longest backoff: a later time was written by a clock ahead of this one. */
function isDue(at: number, now: number): boolean {
  return now >= at || at - now > HANDOVER_RETRY_MAX_MS;
}

/** 1 s, doubled with every unanswered round, up to 30 s, without end (H3). */
function backoffMs(rounds: number): number {
  return Math.min(HANDOVER_RETRY_MAX_MS, HANDOVER_RETRY_MIN_MS * 2 ** rounds);
}
