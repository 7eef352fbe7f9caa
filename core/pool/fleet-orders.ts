import { encodeDownstream } from "../../protocol/codec.ts";
import type { AssignModel, Registered } from "../../protocol/downstream.ts";
import type { Epoch, MachineId, ModelId } from "../../protocol/ids.ts";
import type { Assignments } from "./assignments.ts";
import type { Connection } from "./connection.ts";
import type { Cordons, CordonWord } from "./cordons.ts";
import type { Dispatch } from "./dispatch.ts";
import type { Members } from "./members.ts";
import type { PoolNews } from "./ports.ts";
import type { Terms, Verdict } from "./record.ts";
import type { Speeds } from "./speeds.ts";

/**
 * What the fleet has a pool do about machines. Every order may come twice, late or after a newer one, and then changes nothing:
 * the pool's record and its epoch decide.
 */

/** The parts of a pool that orders are carried out on. */
export interface OrderedParts {
  readonly members: Members;
  readonly assignments: Assignments;
  readonly cordons: Cordons;
  readonly dispatch: Dispatch;
  readonly speeds: Speeds;
  tellFleet(news: PoolNews): void;
  sendRegistered(
    connection: Connection,
    pools: readonly ModelId[],
    assignment: Registered["assignment"],
  ): void;
}

export class FleetOrders {
  readonly #pool: OrderedParts;

  constructor(pool: OrderedParts) {
    this.#pool = pool;
  }

  /** The machine is to hold this pool's model (H5). */
  expect(machineId: MachineId, epoch: Epoch, terms: Terms, now: number): Verdict {
    return this.#pool.assignments.expect(machineId, epoch, terms, now);
  }

  /** The machine belongs elsewhere: no public request goes to it from this call on; what runs there may finish. */
  release(machineId: MachineId, epoch: Epoch, now: number): Verdict {
    const verdict = this.#pool.assignments.release(machineId, epoch, now);
    this.#pool.dispatch.reconsider(now);
    return verdict;
  }

  /** The machine may serve here as an unmanaged one. */
  unmanage(machineId: MachineId, epoch: Epoch, now: number): Verdict {
    const verdict = this.#pool.assignments.unmanage(machineId, epoch, now);
    this.#pool.dispatch.drain(now);
    return verdict;
  }

  /** Passes an order on to its machine. @returns whether a socket of the machine was there to take it. */
  passOn(machineId: MachineId, order: AssignModel): boolean {
    const connection = this.#pool.members.seats.get(machineId);
    if (connection === undefined) return false;
    // A newer order has overtaken this call, perhaps because the machine must not be sent any (C16).
    if (order.epoch < (connection.record?.epoch ?? 0)) return false;
    connection.socket.send(encodeDownstream(order));
    // The machine has said that it holds this already, and the fleet has missed it: heartbeats are news only once.
    const held = connection.registration?.held ?? null;
    if (held?.epoch === order.epoch) this.#pool.tellFleet({ kind: "holds", machineId, held });
    return true;
  }

  /** The machine has arrived in the pool it belongs to since `epoch`: its socket here goes once it is idle (H6). */
  dismiss(machineId: MachineId, epoch: Epoch, now: number): void {
    const connection = this.#pool.members.seats.get(machineId);
    if (connection?.record?.mode !== "released" || connection.record.epoch > epoch) return;
    connection.isDismissed = true;
    this.#pool.members.closeReleased(connection, now);
  }

  /**
   * Drops what is left of a machine that has gone.
   * @returns whether the pool has neither a socket nor a record of it (H1).
   */
  forget(machineId: MachineId, now: number): boolean {
    const { members, assignments, cordons, speeds } = this.#pool;
    for (const _ of members.socketsOf(machineId)) return false;
    const isGone = assignments.forget(machineId, now);
    if (!isGone) return false;
    speeds.forget(machineId);
    cordons.forget(machineId);
    return true;
  }

  /** The list of pools of an unmanaged machine has changed, for instance because the catalog has. */
  announce(machineId: MachineId, pools: readonly ModelId[], assignment: Registered["assignment"]): void {
    const connection = this.#pool.members.seats.get(machineId);
    if (connection !== undefined) this.#pool.sendRegistered(connection, pools, assignment);
  }

  /** Closes every socket that was dialed with a revoked token. */
  revoke(tokenId: string, now: number): void {
    const { members } = this.#pool;
    const leaving = [...members.sockets()].filter(({ identity }) => identity.tokenId === tokenId);
    members.closeTogether(leaving, "notAllowed", now, "token revoked");
  }

  /** Closes every socket of a machine that is not wanted any more. */
  expel(machineId: MachineId, now: number): void {
    const { members } = this.#pool;
    for (const connection of members.socketsOf(machineId)) {
      members.close(connection, "notAllowed", now, "machine quarantined");
    }
  }

  /** Sends a machine no more requests, not even its owner's, or lets them come again; what runs there goes on. */
  cordon(machineId: MachineId, word: CordonWord, now: number): void {
    this.noteCordon(machineId, word);
    this.#pool.dispatch.reconsider(now);
  }

  /** Without looking at whoever waits. */
  noteCordon(machineId: MachineId, word: CordonWord): void {
    const isCordoned = this.#pool.cordons.heard(machineId, word);
    for (const connection of this.#pool.members.socketsOf(machineId)) connection.isCordoned = isCordoned;
  }
}
