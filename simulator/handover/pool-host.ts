import type { AdmissionQuestion } from "../../core/pool/admission.ts";
import { perform, type PoolCall, type PoolReply } from "../../core/pool/calls.ts";
import type { Connection, Identity } from "../../core/pool/connection.ts";
import type { OwnerRoute } from "../../core/pool/owner-route.ts";
import { Pool } from "../../core/pool/pool.ts";
import type { PoolRecord, Stamp } from "../../core/pool/record.ts";
import type { PoolReport } from "../../core/pool/report.ts";
import { INITIAL_SETTINGS, type PoolSettings } from "../../core/pool/settings.ts";
import type { Total } from "../../core/pool/totals.ts";
import type { MachineId, ModelId } from "../../protocol/ids.ts";
import { SimClient } from "./client.ts";
import { MemoryCordonStore, MemoryRecordStore } from "./stores.ts";
import { brief, type Wire } from "./wire.ts";
import type { World } from "./world.ts";

export type Dialer = Pick<Identity, "machineId" | "owner" | "tokenId">;

/** Streams one machine may decode at once. */
const SLOTS = 2;
const DEADLINE_MS = 120_000;

/** One model's pool with its disk and its clock, as `durable-objects/model-pool.ts` runs it. */
export class PoolHost {
  readonly model: ModelId;
  readonly disk = new MemoryRecordStore();
  readonly wires = new Set<Wire>();
  readonly clients = new Set<SimClient>();
  /** Sockets that have slept with the pool and were not woken yet. */
  #asleep: Wire[] = [];
  pool: Pool;
  /** Until then no call and no dial gets through to it, while it and its sockets live on. */
  unreachableUntil = 0;
  readonly #world: World;
  readonly #remembered = new Set<MachineId>();
  #settings: PoolSettings = INITIAL_SETTINGS;
  readonly #cordons = new MemoryCordonStore();
  readonly #totals = new Map<string, Total>();
  #isDying = false;
  /** Which life of the object this is: what an earlier one waited for is lost. */
  #life = 0;
  /** By how much the clock is wrong of the machine that this life runs on. */
  #skewMs = 0;
  #asks = 0;
  #nonces = 0;
  #timer: { readonly at: number; readonly cancel: () => void } | null = null;

  constructor(world: World, model: ModelId) {
    this.#world = world;
    this.model = model;
    this.pool = this.#wake();
  }

  /** By its own clock, which may go back from one life to the next. */
  now(): number {
    return this.#world.clock.now() + this.#skewMs;
  }

  get isUnreachable(): boolean {
    return this.#world.clock.now() < this.unreachableUntil;
  }

  record(machineId: MachineId): PoolRecord | null {
    return this.disk.records.get(machineId) ?? null;
  }

  report(): PoolReport {
    return this.pool.report(this.now(), SLOTS);
  }

  accept(wire: Wire, dialer: Dialer, stamp: Stamp): boolean {
    return this.#then((now) => {
      const word = this.#world.hooks.stamp(stamp);
      if (!this.pool.mayConnect(dialer.machineId, word, now)) return false;
      wire.pool = this;
      this.wires.add(wire);
      this.#world.hooks.accepting(this, wire);
      wire.connection = this.pool.connect(wire.poolEnd, { ...dialer, acceptedAt: now }, null);
      this.#world.log(() => `${wire.name()} accepted ${JSON.stringify(stamp)}`);
      return true;
    });
  }

  receive(wire: Wire, text: string): void {
    const connection = this.#connectionOf(wire);
    if (connection === null) return;
    this.#world.log(() => `${wire.name()} -> ${brief(text)}`);
    this.#world.invariants.onPoolHears(wire, text);
    this.#then((now) => {
      this.#world.invariants.aroundMessage(this, wire, text, () => {
        this.pool.receive(connection, this.#world.hooks.toPool(this, wire, text), now);
      });
    });
  }

  receiveFrame(wire: Wire, frame: ArrayBuffer): void {
    const connection = this.#connectionOf(wire);
    if (connection !== null) this.#then((now) => this.pool.receiveFrame(connection, frame, now));
  }

  /** The socket is gone, and the pool notices. @param code of the close frame */
  lost(wire: Wire, code: number): void {
    if (wire.poolEnded) return;
    wire.poolEnded = true;
    const connection = this.#connectionOf(wire);
    this.detach(wire);
    if (connection !== null) this.#then((now) => this.pool.disconnected(connection, now, code));
  }

  detach(wire: Wire): void {
    this.wires.delete(wire);
    wire.connection = null;
  }

  /** Lets it crash after the next thing it does, before anybody hears of that. */
  dieNext(): void {
    this.#isDying = true;
  }

  /** @returns null if it dies over it. */
  perform(call: PoolCall): PoolReply | null {
    const life = this.#life;
    const reply = this.#then((now) => {
      this.#world.invariants.onCalled(this, call);
      const answer = perform(this.pool, call, now);
      this.#world.invariants.onPerformed(this, call, answer);
      if (call.kind !== "read" && call.kind !== "settings") {
        this.#world.log(() => `${this.model} does ${JSON.stringify(call)}: ${JSON.stringify(answer)}`);
      }
      this.#world.hooks.performed(this, call);
      return answer;
    });
    return life === this.#life ? reply : null;
  }

  /** @param owner for a request that is meant for its sender's own machines (H21) */
  submit(id: string, isStream: boolean, model = this.model, owner: OwnerRoute | null = null): SimClient {
    const { invariants } = this.#world;
    const client = new SimClient(
      id,
      (what) => invariants.breach(what),
      (code) => invariants.refused(this, id, code),
    );
    this.clients.add(client);
    this.#then((now) => {
      const spec = {
        requestId: id,
        model,
        owner,
        endpoint: "/v1/chat/completions",
        body: '{"messages":[]}',
        prefix: [],
        cacheKeys: [],
        stream: isStream,
        keyId: "key",
        priority: "normal" as const,
        slotsPerMachine: SLOTS,
        reservation: null,
        contextLength: 8192,
        answerTokens: null,
        arrivedAt: now,
        deadlineAt: now + DEADLINE_MS,
      };
      client.request = this.pool.submit(spec, client, now);
    });
    return client;
  }

  abandon(client: SimClient): void {
    const { request } = client;
    if (client.outcome !== null || request === null) return;
    client.leave("left");
    this.#then((now) => this.pool.abandon(request, now));
  }

  open(): SimClient[] {
    return [...this.clients].filter(({ outcome }) => outcome === null);
  }

  /** Sleeps and wakes, if nothing keeps it awake: sockets stay, memory does not. */
  evict(): boolean {
    if (this.#asks > 0 || this.pool.nextTickAt(this.now()) !== null) return false;
    this.#world.log(() => `${this.model} is evicted`);
    for (const total of this.pool.ledger.totals.drain()) this.#totals.set(total.name, total);
    this.#asleep = [...this.wires];
    for (const wire of this.wires) wire.connection = null;
    this.pool = this.#wake();
    this.#then(() => {});
    return true;
  }

  /** The object is started anew in the middle of everything: its sockets and its requests die with it. */
  reset(): void {
    const { clock, network } = this.#world;
    this.#world.log(() => `${this.model} is reset`);
    for (const client of this.open()) client.leave("reset");
    for (const wire of this.wires) {
      wire.poolEnded = true;
      wire.connection = null;
      wire.cut(network.delayMs(), 0);
    }
    this.wires.clear();
    this.#asleep = [];
    this.#asks = 0;
    this.pool = this.#wake();
    clock.after(0, () => this.#then(() => {}));
  }

  #wake(): Pool {
    this.#life += 1;
    const life = this.#life;
    const { hooks } = this.#world;
    this.#moveTo(this.#world.skewMs());
    const now = this.now();
    return new Pool(
      this.model,
      {
        askFleet: (connection, question) => this.#askFleet(connection, question, life),
        tellFleet: (news) => {
          if (life === this.#life) this.#world.fleet.tell(this.model, structuredClone(news));
        },
        ended: () => undefined,
        askSupply: () => {
          if (life === this.#life) this.#world.fleet.askSettings(this.model, (s) => this.#configure(s));
        },
        records: hooks.records(this.disk),
        cordons: hooks.cordons(this.#cordons),
        saveSettings: (settings) => {
          this.#settings = structuredClone(settings);
        },
        rememberMachine: (id) => this.#remembered.add(id),
        forgetMachine: (id) => this.#remembered.delete(id),
        // When clients come back is of no account here, and the dice of the run are kept for what is.
        random: () => 0.5,
        nonce: () => `nonce-${++this.#nonces}`,
        verifyProof: (connection, { nonce, signature, publicKey }) => {
          const level = signature.startsWith(`${publicKey} ${nonce}`) ? "self_signed" : "none";
          // To check a signature takes a moment, for which the object stays awake.
          this.#asks += 1;
          this.#world.clock.after(1, () => {
            if (life !== this.#life) return;
            this.#asks -= 1;
            this.#then((at) => this.pool.judged(connection, nonce, { level, problem: null }, at));
          });
        },
      },
      {
        sleepers: { hasMore: () => this.#asleep.length > 0, wakeSome: () => this.#wakeOne() },
        remembered: () => [...this.#remembered],
        settings: structuredClone(this.#settings),
        ledger: { totals: [...this.#totals.values()], speeds: () => [] },
      },
      now,
    );
  }

  /** Its next life is on another machine of the platform, where its alarm rings by that machine's clock. */
  #moveTo(skewMs: number): void {
    if (skewMs === this.#skewMs) return;
    this.#skewMs = skewMs;
    this.#timer?.cancel();
    this.#timer = null;
  }

  #connectionOf(wire: Wire): Connection | null {
    while (this.#asleep.includes(wire)) this.#wakeOne();
    return wire.connection;
  }

  #wakeOne(): void {
    const wire = this.#asleep.pop();
    const state = structuredClone(wire?.saved ?? null);
    if (wire === undefined || state === null) return;
    wire.connection = this.pool.connect(wire.poolEnd, state.identity, state);
  }

  #configure(settings: PoolSettings): void {
    this.#then((now) => this.pool.configure(settings, now));
  }

  #askFleet(connection: Connection, question: AdmissionQuestion, life: number): void {
    if (life !== this.#life) return;
    this.#asks += 1;
    let isAnswered = false;
    const once = (act: (now: number) => void): void => {
      if (isAnswered || life !== this.#life) return;
      isAnswered = true;
      this.#asks -= 1;
      this.#then(act);
    };
    this.#world.fleet.register(
      structuredClone(question),
      (admission) =>
        once((now) => {
          this.#world.log(
            () => `${this.model} hears of ${question.identity.machineId}: ${JSON.stringify(admission)}`,
          );
          this.#world.invariants.onAdmission(this, question.identity.machineId, admission);
          this.pool.admitted(connection, this.#world.hooks.admission(admission), now);
        }),
      () => once((now) => this.pool.fleetSilent(connection, now)),
    );
  }

  #then<T>(act: (now: number) => T): T {
    const result = act(this.now());
    this.#world.isDirty = true;
    this.#arm();
    if (this.#isDying) {
      this.#isDying = false;
      this.reset();
    }
    return result;
  }

  #arm(): void {
    const { clock } = this.#world;
    const now = this.now();
    const at = Math.min(this.pool.nextTickAt(now) ?? Infinity, this.pool.nextDeadlineAt() ?? Infinity);
    if (this.#timer !== null && at >= this.#timer.at && at !== Infinity) return;
    this.#timer?.cancel();
    this.#timer = null;
    if (at === Infinity) return;
    const due = Math.max(at, now + 1);
    const cancel = clock.after(due - now, () => {
      this.#timer = null;
      this.#then((later) => this.pool.tick(later));
    });
    this.#timer = { at: due, cancel };
  }
}
