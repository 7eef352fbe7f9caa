import { CLOSE } from "../../protocol/close-codes.ts";
import { encodeDownstream } from "../../protocol/codec.ts";
import type { Registered } from "../../protocol/downstream.ts";
import type { MachineId, ModelId } from "../../protocol/ids.ts";
import type { RefusalCount } from "../edge-verdicts.ts";
import { TICK_INTERVAL_MS } from "../limits.ts";
import type { Admission } from "./admission.ts";
import { Assignments } from "./assignments.ts";
import { Attestation, type ProofVerdict } from "./attestation.ts";
import { Connection, type ConnectionState, type Identity, type PoolSocket } from "./connection.ts";
import { Cordons } from "./cordons.ts";
import { DemandWatch } from "./demand-watch.ts";
import { Dispatch } from "./dispatch.ts";
import { Entrance } from "./entrance.ts";
import { FleetOrders } from "./fleet-orders.ts";
import { Inbox } from "./inbox.ts";
import { Ledger } from "./ledger.ts";
import { Loads } from "./loads.ts";
import { isOlder, Members } from "./members.ts";
import { mayBeDeclined } from "./owner-route.ts";
import type { PoolMemory, PoolNews, PoolPorts } from "./ports.ts";
import type { PoolRecord, Stamp } from "./record.ts";
import { registered } from "./registration.ts";
import { reportMachines, reportRecord, routableMachines, type PoolReport } from "./report.ts";
import type { Answer, NewRequest, PoolRequest } from "./request.ts";
import { withSupply, type PoolSettings } from "./settings.ts";

/**
 * One model's pool: the machines that hold a socket to it and the requests on their way to them. It opens nothing
 * and waits for nothing: time comes in as an argument and effects go out through ports, so that a Durable Object
 * and a simulation run the same lines.
 *
 * A machine's way in: `connect` (socket accepted) -> `register` arrives -> the fleet is asked, since it knows whose
 * machine and which key this is -> `admitted` -> routable, if the pool's record does not forbid it. Only an admitted
 * register replaces an older socket of the same machine (H11), so that nobody can cut a machine off by dialing under
 * its name.
 */

export class Pool {
  readonly model: ModelId;
  readonly ledger: Ledger;
  /** What the fleet has it do about machines. */
  readonly orders: FleetOrders;
  readonly watch = new DemandWatch();
  readonly #ports: PoolPorts;
  readonly #members: Members;
  readonly #entrance: Entrance;
  readonly #dispatch: Dispatch;
  readonly #assignments: Assignments;
  readonly #cordons: Cordons;
  readonly #attestation: Attestation;
  readonly #loads = new Loads();
  readonly #inbox: Inbox;
  #settings: PoolSettings;

  /** @param now ms since the epoch, here and everywhere below. */
  constructor(model: ModelId, ports: PoolPorts, memory: PoolMemory, now: number) {
    this.model = model;
    this.#ports = ports;
    this.#settings = memory.settings;
    this.ledger = new Ledger(memory.ledger);
    this.#assignments = new Assignments(model, ports.records, (record, before) =>
      this.#onRecord(record, before),
    );
    this.#cordons = new Cordons(ports.cordons);
    this.#members = new Members(
      model,
      {
        onDropped: (connection, at) => this.#onDropped(connection, at),
        recordOf: (machineId) => this.#assignments.get(machineId),
        isCordoned: (machineId) => this.#cordons.has(machineId),
        remember: (machineId) => ports.rememberMachine(machineId),
        forget: (machineId) => ports.forgetMachine(machineId),
        onLeft: (machineId, sessionId) => ports.tellFleet({ kind: "left", machineId, sessionId }),
      },
      memory,
      now,
    );
    this.#attestation = new Attestation(
      {
        machines: () => this.#members.seats.all(),
        nonce: () => ports.nonce(),
        verify: (connection, proof) => ports.verifyProof(connection, proof),
        onJudged: (at) => this.#onJudged(at),
      },
      memory.settings.flags.min_trust_level,
    );
    this.#entrance = new Entrance(model, this.#members, this.#assignments, {
      askFleet: (connection, question) => ports.askFleet(connection, question),
      challenge: (connection, at) => this.#attestation.challenge(connection, at),
      random: () => ports.random(),
      isTooOld: (version) => isOlder(version, this.#settings.flags.min_provider_version),
      onEntered: (connection, pools, assignment, at) => this.#onEntered(connection, pools, assignment, at),
      onOffered: (connection, pools, assignment) => this.#greet(connection, pools, assignment),
    });
    this.#dispatch = new Dispatch(
      {
        model,
        connections: () => this.#members.seats.all(),
        seats: this.#members.seats,
        expectingMachinesUntil: () => this.#expectingUntil(),
        settings: () => this.#settings,
        hasSeenMachines: () => !this.#members.isEmpty || this.#assignments.size > 0,
        askSupply: () => ports.askSupply(),
        ended: (outcome) => ports.ended(outcome),
        nextLoad: (at) => this.#loads.next(this.#uncordonedRecords(), at),
        random: () => ports.random(),
      },
      this.ledger,
    );
    const parts = {
      members: this.#members,
      assignments: this.#assignments,
      dispatch: this.#dispatch,
      tellFleet: (news: PoolNews) => ports.tellFleet(news),
    };
    this.orders = new FleetOrders({
      ...parts,
      cordons: this.#cordons,
      speeds: this.ledger.speeds,
      sendRegistered: (...told) => this.#sendRegistered(...told),
    });
    this.#inbox = new Inbox({ ...parts, model, entrance: this.#entrance, attestation: this.#attestation });
  }

  /** Whether a dial may become a socket here: the fleet's answer to it must not be older than the record (H2). */
  mayConnect(machineId: MachineId, stamp: Stamp, now: number): boolean {
    return this.#assignments.stamp(machineId, stamp, now);
  }

  /** Takes a socket that was just accepted, or one that survived hibernation with its saved state. */
  connect(socket: PoolSocket, identity: Identity, restored: ConnectionState | null): Connection {
    const connection = new Connection(socket, identity, restored);
    connection.record = this.#assignments.get(identity.machineId);
    connection.isCordoned = this.#cordons.has(identity.machineId);
    this.#attestation.weigh(connection);
    this.#members.add(connection);
    if (restored === null) connection.save();
    return connection;
  }

  /** A text frame. */
  receive(connection: Connection, text: string, now: number): void {
    this.#inbox.receive(connection, text, now);
  }

  /** A binary frame: records of response bytes. */
  receiveFrame(connection: Connection, frame: ArrayBuffer, now: number): void {
    this.#inbox.receiveFrame(connection, frame, now);
  }

  /** The socket has closed by the machine's doing or the network's. @param code of its close frame. */
  disconnected(connection: Connection, now: number, code: number = CLOSE.lost.code): void {
    this.#members.disconnected(connection, now, code);
  }

  /** A socket that had slept with the pool and was closed before it woke. */
  lostAsleep(state: ConnectionState, now: number, code: number = CLOSE.lost.code): void {
    this.#members.lostAsleep(state, now, code);
  }

  /** The fleet's answer to `askFleet`. */
  admitted(connection: Connection, admission: Admission, now: number): void {
    if (admission.admitted) this.orders.noteCordon(connection.identity.machineId, admission);
    this.#entrance.admitted(connection, admission, now);
    this.#dispatch.drain(now);
  }

  /** The fleet did not answer. */
  fleetSilent(connection: Connection, now: number): void {
    this.#entrance.fleetSilent(connection, now);
    this.#dispatch.drain(now);
  }

  /** What a machine answered to the challenge with this nonce has been checked. */
  judged(connection: Connection, nonce: string, verdict: ProofVerdict, now: number): void {
    this.#attestation.judged(connection, nonce, verdict, now);
    this.#entrance.judged(connection, now);
  }

  /** Takes the fleet's settings over unless they are older than those it has (H17). */
  configure(settings: PoolSettings, now: number): void {
    if (settings.version < this.#settings.version) return;
    const isNew = settings.version > this.#settings.version;
    // The model's own least speed comes from the catalog, whose changes no version counts.
    const isOther = settings.flags.decode_floor_tps !== this.#settings.flags.decode_floor_tps;
    this.#settings = settings;
    if (isNew || isOther) this.#ports.saveSettings(settings);
    if (isNew) this.#members.heedLeastVersion(settings.flags.min_provider_version, now);
    this.#attestation.heed(settings.flags.min_trust_level, now);
    this.#dispatch.reconsider(now);
  }

  submit(spec: NewRequest, answer: Answer, now: number): PoolRequest {
    const isDemand = spec.model === this.model && !mayBeDeclined(spec.owner);
    if (isDemand && this.watch.arrived()) this.#ports.tellFleet({ kind: "demand" });
    return this.#dispatch.submit(spec, answer, now);
  }

  /** What the edge has refused by itself while a verdict of this pool held. */
  refusedAtEdge(counts: readonly RefusalCount[], now: number): void {
    for (const { requests } of counts) {
      if (this.watch.arrived(requests)) this.#ports.tellFleet({ kind: "demand" });
    }
    this.#dispatch.refusedAtEdge(counts, now);
  }

  abandon(request: PoolRequest, now: number): void {
    this.#dispatch.abandon(request, now);
  }

  resume(request: PoolRequest, now: number): void {
    this.#dispatch.resume(request, now);
  }

  /** Closes sockets without a sign of life, those that never registered and those of released machines (H6, H20). */
  sweep(now: number): void {
    this.#members.sweep(now);
  }

  /** Looks at every deadline. */
  tick(now: number): void {
    const isAssignmentOver = this.#assignments.expire(now);
    const isWaitOver = this.#attestation.expire(now);
    if (isAssignmentOver || isWaitOver) this.#dispatch.reconsider(now);
    this.#dispatch.tick(now);
    this.#entrance.tick(now);
    this.#members.closeRetired(now);
    this.#members.sweepIfDue(now);
  }

  /** When `tick` wants to be called while the pool is awake; null if nothing needs a clock, so that it may sleep. */
  nextTickAt(now: number): number | null {
    // A tick looks at all sockets, and wakes them for it.
    if (!this.#dispatch.isIdle || !this.#members.seats.areAwake) return now + TICK_INTERVAL_MS;
    const at = Math.min(this.#members.nextSweepAt() ?? Infinity, this.#entrance.nextTickAt());
    return at === Infinity ? null : Math.max(at, now + TICK_INTERVAL_MS);
  }

  /** Nothing is open and nobody waits. */
  get isIdle(): boolean {
    return this.#dispatch.isIdle;
  }

  /** When `tick` must be called even if the pool sleeps until then; null if never (H6, H13). */
  nextDeadlineAt(): number | null {
    const at = Math.min(
      this.#assignments.nextDeadlineAt() ?? Infinity,
      this.#members.nextGoodbyeAt() ?? Infinity,
    );
    return at === Infinity ? null : at;
  }

  /** @param slotsPerMachine streams one machine may decode at once, from the catalog. */
  report(now: number, slotsPerMachine: number): PoolReport {
    return {
      model: this.model,
      machines: reportMachines(
        this.model,
        this.#members.seats.all(),
        { records: this.#assignments.all(), cordons: this.#cordons, speeds: this.ledger.speeds },
        slotsPerMachine,
        now,
      ),
      inFlight: this.#dispatch.inFlight,
      queued: this.#dispatch.queued,
      isExpectingMachines: now < this.#expectingUntil(),
      holdMs: this.#dispatch.meanServiceMs(now),
      firstTokenMs: this.#dispatch.medianFirstTokenMs(now),
      demand: this.ledger.demand.totals(),
      settingsVersion: this.#settings.version,
      ignored: {
        records: this.#dispatch.ignored.records,
        messages: this.#dispatch.ignored.messages + this.#inbox.ignored.messages,
        statuses: this.#assignments.ignored,
        unknownTypes: this.#inbox.ignored.unknownTypes,
      },
    };
  }

  /** The machines that a public request may go to, whether busy or not. */
  routable(now: number): MachineId[] {
    return routableMachines(this.model, this.#members.seats.all(), now);
  }

  /** Until when a machine may come, or come back, that is neither here nor refused: requests wait for it. */
  #expectingUntil(): number {
    return Math.max(this.#members.expectingUntil(), this.#attestation.expectingUntil());
  }

  /** A cordoned machine may load its model, and serves nobody then. */
  *#uncordonedRecords(): Generator<PoolRecord> {
    for (const record of this.#assignments.all()) if (!this.#cordons.has(record.machineId)) yield record;
  }

  #onDropped(connection: Connection, now: number): void {
    this.#dispatch.connectionLost(connection, now);
    this.#entrance.dropped(connection, now);
  }

  #onEntered(
    connection: Connection,
    pools: readonly ModelId[],
    assignment: Registered["assignment"],
    now: number,
  ): void {
    connection.breaker = this.#dispatch.breakerOf(connection.identity.machineId);
    // What is demanded may have changed while the fleet was asked.
    this.#attestation.weigh(connection);
    this.#greet(connection, pools, assignment);
    this.#attestation.askIfDue(connection, now);
  }

  #greet(connection: Connection, pools: readonly ModelId[], assignment: Registered["assignment"]): void {
    if (connection.registration?.advertises === true) this.#settings = withSupply(this.#settings);
    this.#sendRegistered(connection, pools, assignment);
  }

  /** Whoever waited for the machine goes to it, or is told, unless there are others to wait for. */
  #onJudged(now: number): void {
    if (now < this.#expectingUntil()) this.#dispatch.drain(now);
    else this.#dispatch.reconsider(now);
  }

  #onRecord(record: PoolRecord, before: PoolRecord | null): void {
    const { machineId, mode, since } = record;
    this.#loads.observe(record);
    for (const connection of this.#members.socketsOf(machineId)) {
      this.#members.setRecord(connection, record);
      connection.visitedModel = null;
      // Whatever it has done meanwhile, it may have let go of its model.
      connection.forgetRead();
      connection.isDismissed = false;
      if (mode === "assigned" && connection.registration !== null) {
        // At once, before the next heartbeat (F11).
        connection.registration = { ...connection.registration, loadedModels: [this.model] };
        connection.save();
      }
    }
    // The other modes are the fleet's own doing.
    const isNews = mode === "draining" || mode === "loading" || mode === "assigned" || mode === "failed";
    if (!isNews) return;
    // The fleet may have slept through the beginning of the load.
    const loadMs = mode === "assigned" && before?.mode === "loading" ? since - before.since : null;
    this.#ports.tellFleet({ kind: "record", machineId, record: reportRecord(record), loadMs });
  }

  #sendRegistered(
    connection: Connection,
    pools: readonly ModelId[],
    assignment: Registered["assignment"],
  ): void {
    const { machineId } = connection.identity;
    const { flushMs } = this.#dispatch;
    connection.socket.send(encodeDownstream(registered(machineId, this.model, pools, assignment, flushMs)));
  }
}
