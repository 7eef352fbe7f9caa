import { NEVER_MANAGED, type Epoch, type MachineId, type ModelId } from "../../protocol/ids.ts";
import type { Register } from "../../protocol/upstream.ts";
import { PROTOCOL_VERSION } from "../../protocol/version.ts";
import type { ApiError } from "../api-error.ts";
import { poolsFor, type Catalog } from "../catalog.ts";
import { DialRate } from "../dial-rate.ts";
import { DRAIN_TIMEOUT_MS, LOAD_TIMEOUT_MS } from "../limits.ts";
import type { Admission, AdmissionClose, AdmissionQuestion } from "../pool/admission.ts";
import type { PoolCall, PoolReply } from "../pool/calls.ts";
import type { Identity } from "../pool/connection.ts";
import type { PoolNews } from "../pool/pool.ts";
import type { Stamp } from "../pool/record.ts";
import { poolFlags, type PoolSettings, type Supply } from "../pool/settings.ts";
import { compareVersions } from "../semver.ts";
import { Handover } from "./handover.ts";
import { machineOf, unmanageableBecause, type FleetStore, type Intent, type Machine } from "./machine.ts";
import { Memberships } from "./memberships.ts";
import { Reconciler } from "./reconcile.ts";
import { FlagBook, type FlagStore } from "./settings.ts";

/**
 * The control plane: who every machine is, to which pool it belongs, and what operators have switched. Dials and
 * registers pass through it, requests never do, so pools go on serving when it is down (D11).
 *
 * It opens nothing and waits for nothing: time comes in as an argument, calls to pools go out through a port and
 * come back through `replied`, so that a Durable Object and a simulation run the same lines.
 */

/** Where a dialing machine goes, with the fleet's word for the pool there, or why it may not dial. */
export type DialVerdict =
  | { readonly ok: true; readonly pool: ModelId; readonly stamp: Stamp }
  | { readonly ok: false; readonly error: ApiError };

export type PinVerdict =
  | { readonly ok: true; readonly machineId: string; readonly modelId: string; readonly epoch: number }
  | { readonly ok: false; readonly error: ApiError };

export interface OwnedMachine {
  readonly machineId: MachineId;
  /** What it has on disk. */
  readonly models: readonly ModelId[];
  /** The pool that it is assigned to; null if it is in those of all its models. */
  readonly pool: ModelId | null;
  /** It has not arrived there yet. */
  readonly isSwitching: boolean;
}

export interface ControlPlanePorts {
  /** Calls a pool; the answer comes to `replied`, or nothing comes. */
  callPool(pool: string, call: PoolCall): void;
  isRevoked(tokenId: string): boolean;
  readonly store: FleetStore & FlagStore;
  /** The provider version that belongs to this coordinator. */
  readonly newestProvider: string;
}

type Dialer = Pick<Identity, "machineId" | "owner" | "tokenId">;

export class ControlPlane {
  readonly flagBook: FlagBook;
  readonly handover: Handover;
  readonly memberships: Memberships;
  readonly #ports: ControlPlanePorts;
  readonly #reconciler: Reconciler;
  readonly #machines = new Map<MachineId, Machine>();
  readonly #dials = new DialRate();
  /** Version of the settings that each pool has confirmed, since this object woke. */
  readonly #configured = new Map<string, number>();
  readonly #readAt = new Map<string, number>();
  /** Of each machine that has registered since this object woke: its newest process, and when its socket came. */
  readonly #newestSession = new Map<MachineId, { readonly sessionId: string; readonly acceptedAt: number }>();
  #catalog: Catalog | null = null;

  constructor(ports: ControlPlanePorts) {
    this.#ports = ports;
    this.flagBook = new FlagBook(ports.store, ports.newestProvider);
    this.memberships = new Memberships(ports.store);
    for (const machine of ports.store.machines()) this.#machines.set(machine.machineId, machine);
    this.handover = new Handover(ports.store, this.memberships, {
      callPool: ports.callPool,
      poolsOf: (machineId) => this.poolsOf(machineId),
      publicKeyOf: (machineId) => this.#machines.get(machineId)?.publicKey ?? "",
      knowsOrders: (machineId) => !this.#isTooOld(machineId),
      onFailed: (intent, now) => {
        const cooldownMs = this.flagBook.flags.load_cooldown_seconds * 1000;
        this.#reconciler.onFailed(intent, cooldownMs, now);
      },
    });
    this.#reconciler = new Reconciler(this.handover, this.memberships, ports);
  }

  get catalog(): Catalog | null {
    return this.#catalog;
  }

  machine(machineId: MachineId): Machine | null {
    return this.#machines.get(machineId) ?? null;
  }

  machines(): Iterable<Machine> {
    return this.#machines.values();
  }

  /** The catalog in force. Machines learn at the next tick which pools they should be in. */
  setCatalog(catalog: Catalog): void {
    this.#catalog = catalog;
  }

  /** Where the machines of one owner are, for requests that want them and no others (H21). */
  machinesOf(owner: string): OwnedMachine[] {
    return [...this.#machines.values()]
      .filter((machine) => machine.owner === owner)
      .map((machine) => ({
        machineId: machine.machineId,
        models: modelIds(machine),
        pool: this.handover.destination(machine.machineId).pool,
        isSwitching: this.handover.isSwitching(machine.machineId),
      }));
  }

  /** Pools an unmanaged machine should hold a socket to. Without a catalog nobody is sent away from where it is. */
  poolsOf(machineId: MachineId): readonly ModelId[] {
    const machine = this.machine(machineId);
    if (machine === null) return [];
    return this.#catalog === null ? machine.pools : poolsFor(this.#catalog, modelIds(machine));
  }

  /**
   * Decides one dial. The membership is written before the answer, so that no socket exists that the fleet does not
   * know of (H1).
   * @param named the catalog id the provider asked for; null for wherever it belongs.
   */
  dial(dialer: Dialer, named: ModelId | null, now: number): DialVerdict {
    const { machineId } = dialer;
    const refusal = this.#mayNotDial(dialer);
    if (refusal !== null) return { ok: false, error: refusal };
    const { pool: assigned, stamp } = this.handover.destination(machineId);
    const pool = assigned ?? named ?? this.poolsOf(machineId)[0];
    if (pool === undefined) {
      const message = `machine "${machineId}" has not registered before; name a model with ?pool=`;
      return { ok: false, error: { code: "model_not_found", message, param: "pool" } };
    }
    const retryAfterS = this.#dials.admit(`${machineId} ${pool}`, now);
    if (retryAfterS !== null) {
      return {
        ok: false,
        error: { code: "slow_down", message: "too many dials within a minute", retryAfterS },
      };
    }
    this.memberships.add(machineId, pool, now);
    this.handover.dialed(machineId, pool, now);
    return { ok: true, pool, stamp };
  }

  /** Decides one register and remembers what the machine said. Binds it to its first owner and key (H22). */
  register({ identity, register, pool }: AdmissionQuestion, now: number): Admission {
    const { machineId } = identity;
    const close = this.#mayNotRegister(identity, register);
    if (close !== null) return { admitted: false, close };
    // Word of a process that has ended since, on a socket that has: it must not overwrite what the next one said.
    if (this.#isOutdated(identity, register)) return { admitted: false, close: "restart" };
    this.memberships.add(machineId, pool, now);
    this.#machines.set(machineId, machineOf(register, identity.owner, this.machine(machineId), [], now));
    this.#obeyFlags(machineId, now);
    const held = register.assignment;
    if (held !== null) this.handover.holds(machineId, held.model_id, held.epoch, now);
    this.handover.dialed(machineId, pool, now);
    this.handover.woken(machineId, now);
    const { pool: assigned, stamp } = this.handover.destination(machineId);
    const pools = assigned === null ? this.poolsOf(machineId) : [assigned];
    this.#saveMachine(machineOf(register, identity.owner, this.machine(machineId), pools, now));
    if (assigned === pool) this.handover.arrived(machineId);
    const isElsewhere = assigned !== null && assigned !== pool && stamp.mode !== "unknown";
    return {
      admitted: true,
      stamp: isElsewhere ? { mode: "released", epoch: stamp.epoch } : stamp,
      pools,
      assignment: this.#assignmentFor(machineId, register),
      publicKey: register.public_key,
    };
  }

  /** A pool tells something unasked. */
  told(pool: string, news: PoolNews, now: number): void {
    if (news.kind === "record") this.handover.observed(news.machineId, pool, news.record, now);
    else if (news.held !== null) {
      this.handover.holds(news.machineId, news.held.model_id, news.held.epoch, now);
    }
  }

  /** A pool has answered a call. */
  replied(pool: string, call: PoolCall, reply: PoolReply, now: number): void {
    if (call.kind === "read" && reply.kind === "report") {
      this.#configured.set(pool, reply.report.settingsVersion);
      this.#reconciler.onReport(pool, reply.report, this.#readAt.get(pool) ?? now, now);
    } else if (call.kind === "settings") this.#configured.set(pool, call.settings.version);
    else if (call.kind === "announce") this.#announced(call);
    else if (call.kind === "forget" && reply.kind === "told" && reply.reached)
      this.#reconciler.onForgotten(pool, call, now);
    else this.handover.replied(pool, call, reply, now);
  }

  /**
   * An operator gives a machine a model by hand. It ignores dwell, cooldowns and budgets, and is a no-op if that is
   * what the machine holds or is on its way to (C18).
   */
  pin(machineId: MachineId, modelId: string, now: number): PinVerdict {
    const refuse = (error: ApiError): PinVerdict => ({ ok: false, error });
    if (this.flagBook.flags.assignment_gate === "off") {
      const message = 'machines are not assigned while the flag assignment_gate is "off"; switch it on first';
      return refuse({ code: "gate_off", message });
    }
    const machine = this.machine(machineId);
    if (machine === null) return refuse(unknownMachine(machineId));
    const model = this.#catalog?.find(modelId);
    if (model === undefined) {
      const message = `the model "${modelId}" is not in the catalog`;
      return refuse({ code: "model_not_found", message, param: "model_id" });
    }
    const obstacle = unmanageableBecause(machine, this.flagBook.flags);
    if (obstacle !== null) return refuse({ code: "machine_not_assignable", message: obstacle.message });
    if (!modelIds(machine).includes(model.id)) {
      const message = `machine "${machineId}" does not have "${model.id}" on its disk`;
      return refuse({ code: "machine_not_assignable", message, param: "model_id" });
    }
    const intent = this.assign(machineId, model.id, "pinned", true, now);
    return { ok: true, machineId, modelId: model.id, epoch: intent.epoch };
  }

  /** Gives a machine a model, unless that is what it has already (C18). */
  assign(machineId: MachineId, model: ModelId, reason: string, isPinned: boolean, now: number): Intent {
    const current = this.handover.intent(machineId);
    if (current !== null && current.model === model && current.outcome !== "failed") return current;
    return this.handover.begin({ machineId, model, reason, isPinned }, now);
  }

  /** Makes a machine nobody's; without effect on one that is (C7). @returns the epoch of the release, if there is one. */
  release(machineId: MachineId, reason: string, now: number): Epoch {
    const current = this.handover.intent(machineId);
    if (current === null || current.model === null) return current?.epoch ?? NEVER_MANAGED;
    return this.handover.begin({ machineId, model: null, reason, isPinned: false }, now).epoch;
  }

  /** Shuts a machine out: it is released, its sockets close with 4005 and its dials are refused with 403. */
  quarantine(machineId: MachineId, now: number): ApiError | null {
    const machine = this.machine(machineId);
    if (machine === null) return unknownMachine(machineId);
    this.#saveMachine({ ...machine, isQuarantined: true });
    this.release(machineId, "quarantined", now);
    this.#expel(machineId);
    return null;
  }

  readmit(machineId: MachineId): ApiError | null {
    const machine = this.machine(machineId);
    if (machine === null) return unknownMachine(machineId);
    this.#saveMachine({ ...machine, isQuarantined: false });
    return null;
  }

  /** Brings what is ordered in line with the flags: the gate, the least provider version, private machines (H14, H17). */
  obeyFlags(now: number): void {
    for (const machineId of this.#machines.keys()) this.#obeyFlags(machineId, now);
  }

  /** The regular look at everything: reads the pools, repeats what is unanswered, tells the pools what is new. */
  tick(now: number): void {
    this.obeyFlags(now);
    this.retry(now);
    this.configurePools(now);
    for (const pool of this.pools()) {
      this.#ports.callPool(pool, this.readCall(pool, now));
    }
    this.#announcePools();
    for (const machine of this.#machines.values()) if (machine.isQuarantined) this.#expel(machine.machineId);
  }

  /** Repeats what is unanswered; between two ticks. */
  retry(now: number): void {
    this.handover.tick(now);
    this.#reconciler.retryAfterCooldowns(now);
  }

  /** Asks a pool for its report; the answer must go to `replied`. */
  readCall(pool: string, now: number): PoolCall {
    this.#readAt.set(pool, now);
    return { kind: "read", slotsPerMachine: this.slotsOf(pool), settings: this.settingsFor(pool, now) };
  }

  /** Pools that may hold a socket or a record of any machine. */
  pools(): Set<string> {
    return this.memberships.pools();
  }

  slotsOf(pool: string): number {
    return this.#catalog?.find(pool)?.max_concurrency ?? Number.MAX_SAFE_INTEGER;
  }

  /** Tells pools the settings that they have not confirmed. */
  configurePools(now: number): void {
    const { version } = this.flagBook;
    const pools = new Set<string>([...this.pools(), ...(this.#catalog?.entries ?? []).map(({ id }) => id)]);
    for (const pool of pools) {
      if (this.#configured.get(pool) === version) continue;
      this.#ports.callPool(pool, { kind: "settings", settings: this.settingsFor(pool, now) });
    }
  }

  settingsFor(pool: string, now: number): PoolSettings {
    const { flags, version } = this.flagBook;
    const floor = this.#catalog?.find(pool)?.decode_floor_tps ?? null;
    return { version, flags: poolFlags(flags, floor), supply: this.supply(pool, now) };
  }

  /** How many machines have the model or could hold it (H23). */
  supply(modelId: string, now: number): Supply {
    const entry = this.#catalog?.find(modelId);
    let have = 0;
    let couldHold = 0;
    for (const machine of this.#machines.values()) {
      const has = modelIds(machine).some((id) => id === modelId);
      if (has) have += 1;
      const isEligible = unmanageableBecause(machine, this.flagBook.flags) === null;
      const fits = entry !== undefined && machine.hardware.memory_gb >= entry.min_ram_gb;
      if (has || (isEligible && fits)) couldHold += 1;
    }
    return { have, couldHold, at: now };
  }

  /** When a handover or a cooldown wants a tick before the regular one; null if none does. */
  nextWakeAt(): number | null {
    let next = this.handover.nextRetryAt();
    for (const { until } of this.#ports.store.cooldowns()) if (next === null || until < next) next = until;
    return next;
  }

  #mayNotDial({ machineId, owner, tokenId }: Dialer): ApiError | null {
    const refuse = (message: string): ApiError => ({ code: "machine_not_allowed", message });
    if (this.#ports.isRevoked(tokenId)) return refuse("this provider token was revoked; ask for a new one");
    const known = this.machine(machineId);
    if (known === null) return null;
    if (known.owner !== owner) {
      return refuse(`machine id "${machineId}" belongs to another owner; choose another with --machine-id`);
    }
    return known.isQuarantined ? refuse(`machine "${machineId}" is quarantined; ask the operator`) : null;
  }

  #mayNotRegister(identity: Identity, register: Register): AdmissionClose | null {
    if (this.#mayNotDial(identity) !== null) return "notAllowed";
    const known = this.machine(identity.machineId);
    if (known !== null && known.publicKey !== register.public_key) return "foreignKey";
    if (register.protocol < PROTOCOL_VERSION) return "tooOld";
    if (register.protocol > PROTOCOL_VERSION) return "badMessage";
    const least = this.flagBook.flags.min_provider_version;
    if (least !== "none" && compareVersions(register.version ?? null, least) < 0) return "tooOld";
    return null;
  }

  #isTooOld(machineId: MachineId): boolean {
    const machine = this.machine(machineId);
    if (machine === null) return false;
    return unmanageableBecause(machine, this.flagBook.flags)?.code === "provider_too_old";
  }

  #isOutdated({ machineId, acceptedAt }: Identity, register: Register): boolean {
    const newest = this.#newestSession.get(machineId);
    if (newest !== undefined && newest.sessionId !== register.session_id && acceptedAt < newest.acceptedAt) {
      return true;
    }
    this.#newestSession.set(machineId, { sessionId: register.session_id, acceptedAt });
    return false;
  }

  /** What `registered` says the machine should hold (H8); what it says itself while it must not know the new order. */
  #assignmentFor(
    machineId: MachineId,
    register: Register,
  ): Extract<Admission, { admitted: true }>["assignment"] {
    const times = { drain_ms: DRAIN_TIMEOUT_MS, load_ms: LOAD_TIMEOUT_MS };
    const order = this.#isTooOld(machineId) ? null : this.handover.orderFor(machineId);
    if (order !== null) return { model_id: order.model_id, epoch: order.epoch, ...times };
    const held = register.assignment;
    return { model_id: held?.model_id ?? null, epoch: held?.epoch ?? NEVER_MANAGED, ...times };
  }

  #obeyFlags(machineId: MachineId, now: number): void {
    const machine = this.machine(machineId);
    if (machine === null || (this.handover.intent(machineId)?.model ?? null) === null) return;
    const { flags } = this.flagBook;
    if (flags.assignment_gate === "off") this.release(machineId, "the flag assignment_gate is off", now);
    const obstacle = unmanageableBecause(machine, flags);
    if (obstacle !== null) this.release(machineId, obstacle.message, now);
  }

  /** Tells each unmanaged machine whose list of pools is not what it was last told. */
  #announcePools(): void {
    if (this.#catalog === null) return;
    for (const machineId of this.memberships.machines()) {
      const machine = this.machine(machineId);
      const { pool, stamp } = this.handover.destination(machineId);
      if (machine === null || pool !== null || stamp.mode !== "unmanaged") continue;
      const pools = this.poolsOf(machineId);
      if (pools.join() === machine.pools.join()) continue;
      const times = { drain_ms: DRAIN_TIMEOUT_MS, load_ms: LOAD_TIMEOUT_MS };
      const assignment = { model_id: null, epoch: stamp.epoch, ...times };
      for (const name of this.memberships.of(machineId)) {
        this.#ports.callPool(name, { kind: "announce", machineId, pools, assignment });
      }
    }
  }

  /** Only now, so that a machine that has not heard is told again at the next tick. */
  #announced({ machineId, pools }: Extract<PoolCall, { kind: "announce" }>): void {
    const machine = this.machine(machineId);
    if (machine !== null) this.#saveMachine({ ...machine, pools });
  }

  #expel(machineId: MachineId): void {
    for (const pool of this.memberships.of(machineId))
      this.#ports.callPool(pool, { kind: "expel", machineId });
  }

  #saveMachine(machine: Machine): void {
    this.#machines.set(machine.machineId, machine);
    this.#ports.store.saveMachine(machine);
  }
}

function modelIds({ models }: Machine): ModelId[] {
  return models.map(({ id }) => id);
}

function unknownMachine(machineId: string): ApiError {
  return { code: "not_found", message: `no machine with the id "${machineId}" has ever registered` };
}
