import type { Epoch, MachineId, ModelId } from "../../protocol/ids.ts";
import type { Heartbeat, Upstream } from "../../protocol/upstream.ts";
import { DRAIN_TIMEOUT_MS, EXPECT_TIMEOUT_MS, LOAD_TIMEOUT_MS, RECORD_GRACE_MS } from "../limits.ts";
import {
  isManaged,
  type PoolRecord,
  type RecordError,
  type RecordMode,
  type RecordStore,
  type Stamp,
  type Terms,
  type Verdict,
} from "./record.ts";

/**
 * The records of one pool and their transitions. Two kinds of messages change a record: calls of the fleet, which need a newer
 * epoch than the record's (H4), and statuses of the machine, which need exactly the record's model and epoch (F3). Only the
 * fleet can end `failed`, so that late or repeated statuses never revive a machine (D7).
 *
 * At one epoch a machine is either released or wanted by a pool, never both, so `released` yields to `expect` and
 * `unmanage` of the same epoch: such a record comes from a dial that was answered before the order arrived.
 */

export type AssignModelStatus = Extract<Upstream, { type: "assign_model_status" }>;
export type HeldAssignment = Heartbeat["assignment"];

const NO_TERMS: Terms = { drainMs: DRAIN_TIMEOUT_MS, loadMs: LOAD_TIMEOUT_MS, publicKey: "" };

/** The statuses that a machine may report, and the modes in which each is accepted. No status leads backwards. */
const PHASES: readonly RecordMode[] = ["expected", "draining", "loading", "assigned"];

export class Assignments {
  readonly #model: ModelId;
  readonly #store: RecordStore;
  readonly #onChange: (record: PoolRecord, before: PoolRecord | null) => void;
  readonly #records = new Map<MachineId, PoolRecord>();
  /** Machines whose records have a deadline: few, and needed with each message. */
  readonly #underWay = new Set<MachineId>();
  /** How many statuses have changed nothing since the pool woke. */
  ignored = 0;

  /** @param onChange a record has a new mode or epoch. */
  constructor(
    model: ModelId,
    store: RecordStore,
    onChange: (record: PoolRecord, before: PoolRecord | null) => void,
  ) {
    this.#model = model;
    this.#store = store;
    this.#onChange = onChange;
    for (const record of store.all()) this.#keep(record);
  }

  get(machineId: MachineId): PoolRecord | null {
    return this.#records.get(machineId) ?? null;
  }

  get size(): number {
    return this.#records.size;
  }

  all(): Iterable<PoolRecord> {
    return this.#records.values();
  }

  /** The machine is to hold this pool's model (H5). */
  expect(machineId: MachineId, epoch: Epoch, terms: Terms, now: number): Verdict {
    return this.#order(machineId, "expected", epoch, terms, now);
  }

  /** The machine belongs elsewhere from now on. */
  release(machineId: MachineId, epoch: Epoch, now: number): Verdict {
    return this.#order(machineId, "released", epoch, NO_TERMS, now);
  }

  /** The machine is unmanaged and may serve here. */
  unmanage(machineId: MachineId, epoch: Epoch, now: number): Verdict {
    return this.#order(machineId, "unmanaged", epoch, NO_TERMS, now);
  }

  /**
   * Takes the fleet's answer to a dial or a register. A managed machine that this pool has no order for stays out of
   * use until the order comes: only `expect` and then `succeeded` make it routable (H2).
   * @returns false if the record is newer: the answer is out of date.
   */
  stamp(machineId: MachineId, stamp: Stamp, now: number): boolean {
    if (stamp.mode === "unknown") return true;
    const record = this.get(machineId);
    const known = record?.epoch ?? 0;
    if (stamp.epoch < known) return false;
    // A dial that was answered during the release leaves `released`, and no call may come any more to lift it.
    const isLifted = record?.mode === "released" && stamp.mode === "unmanaged";
    if (stamp.epoch > known || isLifted) {
      const mode = stamp.mode === "unmanaged" ? "unmanaged" : "released";
      this.#put(machineId, mode, stamp.epoch, NO_TERMS, now);
    }
    return true;
  }

  /** A machine's status of its switch. Without effect unless it names the record's model and epoch (F3). */
  status(machineId: MachineId, message: AssignModelStatus, now: number): boolean {
    const record = this.get(machineId);
    const isExact =
      record !== null &&
      message.model_id === this.#model &&
      message.epoch === record.epoch &&
      isManaged(record.mode);
    if (!isExact || record.mode === "failed") {
      this.ignored += 1;
      return false;
    }
    if (message.status === "failed") {
      const error = message.error ?? { code: "load_failed", message: "the machine gave no reason" };
      this.#move(record, "failed", now, error);
      return true;
    }
    const mode = message.status === "succeeded" ? "assigned" : message.status;
    if (mode === record.mode) {
      if (mode === "loading") this.#progress(record, message.progress ?? record.progress);
      return true;
    }
    if (PHASES.indexOf(mode) < PHASES.indexOf(record.mode)) {
      this.ignored += 1;
      return false;
    }
    this.#move(record, mode, now, null, message.progress ?? 0);
    return true;
  }

  /**
   * What the machine holds, as it says itself. Makes good a `succeeded` that was lost (D8, H15), and notices an
   * assigned machine that no longer holds its model (H14).
   */
  observe(machineId: MachineId, held: HeldAssignment, loaded: readonly ModelId[], now: number): void {
    const record = this.get(machineId);
    if (record === null || held?.epoch !== record.epoch || held.model_id !== this.#model) return;
    const isExact = this.#isExactly(loaded);
    const isOnTheWay = record.mode === "expected" || record.mode === "draining" || record.mode === "loading";
    if (isOnTheWay && isExact) this.#move(record, "assigned", now, null);
    else if (record.mode === "assigned" && !isExact) this.#move(record, "loading", now, null);
  }

  /** An assigned machine comes back with other models in memory than its own: it has to load anew (H14). */
  reloadAfterRegister(machineId: MachineId, loaded: readonly ModelId[], now: number): void {
    const record = this.get(machineId);
    if (record?.mode === "assigned" && !this.#isExactly(loaded)) this.#move(record, "loading", now, null);
  }

  /** Fails records whose deadline has passed, connected or not (H13). @returns whether there were any. */
  expire(now: number): boolean {
    let hasExpired = false;
    for (const machineId of this.#underWay) {
      const record = this.get(machineId);
      if (record?.deadlineAt == null || now < record.deadlineAt) continue;
      const took = Math.round((now - record.since) / 1000);
      const message = `still ${record.mode} after ${took} s`;
      this.#move(record, "failed", now, { code: "deadline", message });
      hasExpired = true;
    }
    return hasExpired;
  }

  /** When `expire` has something to do next; null if never. */
  nextDeadlineAt(): number | null {
    let next: number | null = null;
    for (const machineId of this.#underWay) {
      const deadlineAt = this.get(machineId)?.deadlineAt ?? null;
      if (deadlineAt !== null && (next === null || deadlineAt < next)) next = deadlineAt;
    }
    return next;
  }

  /**
   * Drops a record that only says that the machine is not here, once it has said so for a while (H4).
   * @returns whether no record is left.
   */
  forget(machineId: MachineId, now: number): boolean {
    const record = this.get(machineId);
    if (record === null) return true;
    if (isManaged(record.mode) || now - record.since <= RECORD_GRACE_MS) return false;
    this.#records.delete(machineId);
    this.#store.remove(machineId);
    return true;
  }

  #order(machineId: MachineId, mode: RecordMode, epoch: Epoch, terms: Terms, now: number): Verdict {
    const record = this.get(machineId);
    if (record !== null && epoch < record.epoch) return { ok: false, stale: record.epoch };
    const isNew =
      record === null || epoch > record.epoch || (record.mode === "released" && mode !== "released");
    if (!isNew) return { ok: true, mode: record.mode, epoch };
    this.#put(machineId, mode, epoch, terms, now);
    return { ok: true, mode, epoch };
  }

  #isExactly(loaded: readonly ModelId[]): boolean {
    return loaded.length === 1 && loaded[0] === this.#model;
  }

  #put(machineId: MachineId, mode: RecordMode, epoch: Epoch, terms: Terms, now: number): void {
    this.#write({
      machineId,
      mode,
      epoch,
      since: now,
      deadlineAt: deadlineOf(mode, terms, now),
      terms,
      progress: 0,
      error: null,
    });
  }

  #move(record: PoolRecord, mode: RecordMode, now: number, error: RecordError | null, progress = 0): void {
    const deadlineAt = deadlineOf(mode, record.terms, now);
    this.#write({ ...record, mode, since: now, deadlineAt, progress, error });
  }

  /** Only in memory: it changes often, and is of no use after a restart. */
  #progress(record: PoolRecord, progress: number): void {
    this.#records.set(record.machineId, { ...record, progress });
  }

  #write(record: PoolRecord): void {
    const before = this.get(record.machineId);
    this.#store.put(record);
    this.#keep(record);
    this.#onChange(record, before);
  }

  #keep(record: PoolRecord): void {
    const { machineId, deadlineAt } = record;
    this.#records.set(machineId, record);
    if (deadlineAt === null) this.#underWay.delete(machineId);
    else this.#underWay.add(machineId);
  }
}

function deadlineOf(mode: RecordMode, { drainMs, loadMs }: Terms, now: number): number | null {
  switch (mode) {
    case "expected":
      return now + EXPECT_TIMEOUT_MS;
    case "draining":
      return now + 2 * drainMs + DRAIN_SLACK_MS;
    case "loading":
      return now + loadMs;
    case "assigned":
    case "failed":
    case "released":
    case "unmanaged":
      return null;
  }
}

/** Added to twice the drain limit, because the machine measures with its own clock and its status takes time to arrive. */
const DRAIN_SLACK_MS = 10_000;
