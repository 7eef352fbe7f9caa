import type { Admission } from "../../core/pool/admission.ts";
import type { PoolCall, PoolReply } from "../../core/pool/calls.ts";
import type { CordonWord } from "../../core/pool/cordons.ts";
import { isManaged } from "../../core/pool/record.ts";
import { compareVersions } from "../../core/semver.ts";
import type { CloseReason } from "../../protocol/close-codes.ts";
import { decodeDownstream, decodeUpstream } from "../../protocol/codec.ts";
import type { MachineId } from "../../protocol/ids.ts";
import type { MachineHost } from "./machine-host.ts";
import type { PoolHost } from "./pool-host.ts";
import type { Wire } from "./wire.ts";
import type { World } from "./world.ts";

/** How late an alarm may run if no clock is skewed. */
const LATE_MS = 2000;

/**
 * What must hold at every step, whatever has happened. Numbers refer to the invariants of the architecture, ids with H to the
 * rules of the handover. Pools are checked by their stored records and by their reports.
 */
export class Invariants {
  first: string | null = null;
  readonly #world: World;
  /** Of the records of each pool, at the last check. */
  readonly #recordEpochs = new Map<PoolHost, Map<MachineId, number>>();
  /** The newest cordon that each pool was told for each machine. */
  readonly #cordons = new Map<string, CordonWord>();
  readonly #orders = new Map<string, { readonly epoch: number; readonly model: string | null }>();

  constructor(world: World) {
    this.#world = world;
  }

  breach(what: string): void {
    this.first ??= what;
    this.#world.log(() => `BREACH ${what}`);
  }

  /** A client is refused for lack of machines: then none could have served it, and it was counted as demand (4, F8). */
  refused(pool: PoolHost, id: string, code: string): void {
    if (code !== "pool_exhausted") return;
    const { machines } = pool.report();
    const free = machines.find(({ blockedBy, freeSlots }) => blockedBy === null && freeSlots > 0);
    if (free !== undefined) {
      this.breach(`[4] ${pool.model} refuses ${id} as exhausted while ${free.machineId} has a free slot`);
    }
    if (pool.pool.ledger.demand.isEmpty)
      this.breach(`[F8] ${pool.model} refuses ${id} and has counted no demand`);
  }

  /** Checked after each step. */
  check(): void {
    for (const host of this.#world.pools) {
      this.#checkEpochs(host);
      this.#checkDeadlines(host);
      this.#checkLoaded(host);
    }
    for (const host of this.#world.pools) {
      for (const machineId of host.routable()) {
        this.#checkRoutable(host, machineId);
        this.#checkOwner(host, machineId);
      }
    }
    for (const machine of this.#world.machines) {
      this.#checkOrder(machine);
      this.#checkMemberships(machine);
    }
  }

  /** A provider sends something. */
  onAgentSays(machine: MachineHost, text: string): void {
    const { assigned } = machine;
    if (!text.startsWith('{"type":"inference_accepted"') || assigned === null) return;
    const message = decodeUpstream(text);
    if (!message.ok || message.value.type !== "inference_accepted") return;
    const { request_id } = message.value;
    const model = this.#world.requested.get(request_id);
    if (model !== assigned && !this.#world.requestedByOwners.has(request_id))
      this.breach(`[5] ${machine.id} accepts ${model} but holds ${machine.assignment()}`);
  }

  /** A pool sends something to a provider. */
  onPoolSays(wire: Wire, text: string): void {
    const { pool, machine } = wire;
    if (pool === null) return;
    const decoded = decodeDownstream(text);
    if (!decoded.ok) {
      this.breach(`${pool.model} sends what no provider understands: ${text.slice(0, 100)}`);
      return;
    }
    const { value: message } = decoded;
    if (message.type === "inference_request") {
      this.#onRequest(pool, machine);
      if (message.owner_bypass) machine.askedByOwner.add(message.model_id);
      else this.#onPublicRequest(wire);
    } else if (message.type === "assign_model") this.#onOrder(machine, message.model_id, message.epoch);
    else if (message.type === "registered") {
      this.#onOrder(machine, message.assignment.model_id, message.assignment.epoch);
    }
  }

  /** The fleet calls a pool. */
  onFleetCalls(call: PoolCall): void {
    if (call.kind !== "order" || call.order.model_id === null) return;
    const version = this.#world.fleet.core.directory.get(call.machineId)?.version ?? null;
    if (compareVersions(version, "0.6.18") < 0) {
      this.breach(
        `[C16] ${call.machineId} with version ${version} is ordered to hold ${call.order.model_id}`,
      );
    }
  }

  /** A call has reached a pool. */
  onCalled(pool: PoolHost, call: PoolCall): void {
    if (call.kind === "cordon") this.#hearsOfCordon(pool, call.machineId, call);
  }

  /** A pool has carried out a call. */
  onPerformed({ model }: PoolHost, call: PoolCall, reply: PoolReply): void {
    const isForgotten = call.kind === "forget" && reply.kind === "told" && reply.reached;
    if (isForgotten) this.#cordons.delete(`${model} ${call.machineId}`);
  }

  /** The fleet's answer to a register has come. */
  onAdmission(pool: PoolHost, machineId: MachineId, admission: Admission): void {
    if (admission.admitted) this.#hearsOfCordon(pool, machineId, admission);
  }

  /** A pool receives what a provider has sent. Read as `JSON.stringify` has written it: there are too many to decode all. */
  onPoolHears(wire: Wire, text: string): void {
    const says = (field: string): boolean => text.includes(`"${field}":true`);
    if (text.startsWith('{"type":"register"')) {
      wire.said = { isPrivate: says("private_only"), isReserved: false, accepts: true };
    } else if (text.startsWith('{"type":"heartbeat"')) {
      wire.said = { ...wire.said, isReserved: says("reserved"), accepts: says("accepting") };
    }
  }

  /** Lets a pool handle a message, and compares its records before and after (2). */
  aroundMessage({ model, disk }: PoolHost, { machine }: Wire, text: string, handle: () => void): void {
    const decoded = text.startsWith('{"type":"assign_model_status"') ? decodeUpstream(text) : null;
    if (decoded?.ok !== true || decoded.value.type !== "assign_model_status") {
      handle();
      return;
    }
    const { model_id, epoch } = decoded.value;
    const record = disk.records.get(machine.id);
    const isExact = record !== undefined && model_id === model && epoch === record.epoch;
    const before = isExact ? "" : JSON.stringify([...disk.records]);
    handle();
    if (!isExact && JSON.stringify([...disk.records]) !== before) {
      this.breach(`[2] a status for ${model_id}@${epoch} of ${machine.id} has changed a record of ${model}`);
    }
  }

  /** A pool closes a socket. */
  onClosed({ pool, machine, connection }: Wire, reason: CloseReason): void {
    if (reason !== "superseded" || pool === null) return;
    for (const { connection: other, machine: owner } of pool.wires) {
      if (owner.id === machine.id && other !== connection && other?.registration != null) return;
    }
    this.breach(
      `[H11] a socket of ${machine.id} is superseded in ${pool.model}, but no newer one has registered`,
    );
  }

  /** An engine unloads a model whose load began while the assignment on disk was `startedUnder`. */
  onDropped(machine: MachineHost, model: string, startedUnder: string, isAlive: boolean): void {
    const status = machine.agent?.status();
    if (!isAlive || status?.state === "stopping" || status?.assignment?.phase === "visiting") return;
    const isStillWanted = machine.assigned === model && machine.assignment() === startedUnder;
    if (isStillWanted) this.breach(`[F14] ${machine.id} gives up ${model} although it holds ${startedUnder}`);
  }

  #hearsOfCordon({ model }: PoolHost, machineId: MachineId, word: CordonWord): void {
    const name = `${model} ${machineId}`;
    const known = this.#cordons.get(name);
    if (known === undefined || known.cordonAsOf <= word.cordonAsOf) this.#cordons.set(name, word);
  }

  #onRequest(pool: PoolHost, { id }: MachineHost): void {
    if (this.#cordons.get(`${pool.model} ${id}`)?.isCordoned === true) {
      this.breach(`[cordon] ${pool.model} sends a request to ${id}, although it has heard of its cordon`);
    }
    const mode = pool.record(id)?.mode ?? "unmanaged";
    if (mode !== "unmanaged" && mode !== "assigned") {
      this.breach(`[5] ${pool.model} sends a request to ${id}, whose record is ${mode}`);
    }
    for (const other of this.#world.pools) {
      const record = other === pool ? null : other.record(id);
      if (record !== null && isManaged(record.mode)) {
        this.breach(`[1] ${pool.model} sends a request to ${id}, which is ${record.mode} in ${other.model}`);
      }
    }
  }

  #onPublicRequest({ machine, pool, said }: Wire): void {
    const what = `${pool?.model} sends somebody's request to ${machine.id}, which has said that it`;
    if (said.isPrivate) this.breach(`[C17] ${what} serves its owner only`);
    if (said.isReserved) this.breach(`[H21] ${what} is reserved`);
    if (!said.accepts) this.breach(`[H12] ${what} accepts none`);
  }

  #onOrder({ id, disk }: MachineHost, model: string | null, epoch: number): void {
    if (model === null || epoch <= (disk?.epoch ?? 0)) return;
    const known = this.#world.poolOf(model).record(id)?.epoch ?? 0;
    if (known < epoch) this.breach(`[H6] ${id} hears of ${model}@${epoch} before ${model} does (${known})`);
  }

  /** A machine that is routable in a pool belongs to no other one, and to this one only once it has its model. */
  #checkRoutable(host: PoolHost, id: MachineId): void {
    for (const other of this.#world.pools) {
      const record = other === host ? null : other.record(id);
      if (record !== null && isManaged(record.mode)) {
        this.breach(`[1] ${id} is ${record.mode} in ${other.model} and routable in ${host.model}`);
      }
    }
    const intent = this.#world.fleet.intent(id);
    if (intent === null || intent.model === null) return;
    if (intent.phase !== "ordered" && intent.phase !== "done") return;
    if (host.model !== intent.model || host.record(id)?.mode !== "assigned") {
      this.breach(`[1] ${id} belongs to ${intent.model}@${intent.epoch} but is routable in ${host.model}`);
    }
  }

  /** No request is sent on a socket of somebody who only uses a machine's id. */
  #checkOwner({ model, wires }: PoolHost, id: MachineId): void {
    const owner = this.#world.fleet.core.directory.get(id)?.owner;
    if (owner === undefined) return;
    for (const { machine, owner: dialer, connection } of wires) {
      if (machine.id !== id || connection?.registration == null || dialer === owner) continue;
      this.breach(`[H22] ${id} of ${owner} is routable in ${model} on a socket of ${dialer}`);
    }
  }

  #checkEpochs(host: PoolHost): void {
    const seen = this.#recordEpochs.get(host) ?? new Map<MachineId, number>();
    this.#recordEpochs.set(host, seen);
    for (const { id } of this.#world.machines) {
      const before = seen.get(id) ?? 0;
      const epoch = host.record(id)?.epoch;
      if (epoch !== undefined && epoch < before)
        this.breach(`[3] the record of ${id} in ${host.model} fell from ${before} to ${epoch}`);
      seen.set(id, epoch ?? 0);
    }
  }

  #checkDeadlines(host: PoolHost): void {
    const { model, disk } = host;
    const now = host.now();
    for (const { machineId, mode, deadlineAt } of disk.records.values()) {
      if (deadlineAt === null || now <= deadlineAt + LATE_MS + this.#world.mostClockJumpMs) continue;
      this.breach(`[H13] ${machineId} is still ${mode} in ${model} after its deadline`);
    }
  }

  /** An assigned machine that says it holds something else is not assigned, but loading (H14). */
  #checkLoaded({ model, wires }: PoolHost): void {
    for (const { connection } of wires) {
      const { registration, record } = connection ?? {};
      if (registration == null || record?.mode !== "assigned" || !registration.accepting) continue;
      const { held, loadedModels } = registration;
      if (held?.epoch !== record.epoch || held.model_id !== model || loadedModels.join() === model) continue;
      this.breach(
        `[H14] ${record.machineId} is assigned in ${model} with ${loadedModels.join() || "nothing"} loaded`,
      );
    }
  }

  #checkOrder(machine: MachineHost): void {
    const intent = this.#world.fleet.intent(machine.id);
    const before = this.#orders.get(machine.id);
    if (intent !== null) {
      const { epoch, model } = intent;
      if (
        before !== undefined &&
        (epoch < before.epoch || (epoch === before.epoch && model !== before.model))
      ) {
        this.breach(
          `[3] the fleet gives ${machine.id} ${model}@${epoch} after ${before.model}@${before.epoch}`,
        );
      }
      this.#orders.set(machine.id, { epoch, model });
    }
    const held = machine.disk?.epoch ?? 0;
    if (held > (intent?.epoch ?? 0))
      this.breach(`[H9] ${machine.id} holds epoch ${held} that nobody gave it`);
  }

  #checkMemberships({ id }: MachineHost): void {
    const known = this.#world.fleet.core.memberships.of(id);
    for (const host of this.#world.pools) {
      if (known.includes(host.model) || host.record(id) === null) continue;
      this.breach(`[H1] ${host.model} has a record of ${id}, and the fleet does not know`);
    }
  }
}
