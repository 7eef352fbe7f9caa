import { parseCatalog } from "../../../../core/catalog.ts";
import type { DialVerdict } from "../../../../core/fleet/admissions.ts";
import { ControlPlane } from "../../../../core/fleet/control-plane.ts";
import type { Admission } from "../../../../core/pool/admission.ts";
import type { PoolCall, PoolReply } from "../../../../core/pool/calls.ts";
import type { RecordMode } from "../../../../core/pool/record.ts";
import type { PoolMachineReport, PoolReport } from "../../../../core/pool/report.ts";
import { epochSchema, machineIdSchema, modelIdSchema, type ModelId } from "../../../../protocol/ids.ts";
import { M3_MAX } from "../../../../protocol/sample-hardware.ts";
import { MemoryFleetStore, MemoryPlacementStore } from "../../../../simulator/handover/stores.ts";

/** The control plane with pools that answer what the test says, and a store that outlives it. */

export const START_AT = 1_000_000;
export const MAC = machineIdSchema.parse("mac-1");
export const A = modelIdSchema.parse("a");
export const B = modelIdSchema.parse("b");
export const C = modelIdSchema.parse("c");
export const epoch = (n: number) => epochSchema.parse(n);

export interface Made {
  readonly pool: string;
  readonly call: PoolCall;
}

export class FleetScene {
  now = START_AT;
  readonly store = new MemoryFleetStore();
  readonly plans = new MemoryPlacementStore();
  readonly revoked = new Set<string>();
  /** Orders for which there was no epoch left. */
  readonly usedUp: string[] = [];
  /** Calls that nobody has looked at yet. */
  readonly #calls: Made[] = [];
  core: ControlPlane;

  constructor() {
    this.core = this.#create();
    this.core.flagBook.set("assignment_gate", "on");
  }

  /** Another life of the fleet: all that was not written down is gone, calls under way included. */
  restart(): void {
    this.#calls.length = 0;
    this.core = this.#create();
  }

  dial(pool: ModelId | null = A, owner = "o"): DialVerdict {
    return this.core.dial({ machineId: MAC, owner, tokenId: "t" }, pool, this.now);
  }

  register(pool: ModelId = A, fields: object = {}, machineId = MAC, tokenId = "t"): Admission {
    const identity = { machineId, owner: "o", tokenId, acceptedAt: this.now };
    const register = {
      type: "register" as const,
      protocol: 1,
      version: "0.7.0",
      machine_id: machineId,
      session_id: "s",
      backend: "fake",
      public_key: "k",
      hardware: M3_MAX,
      models: [A, B].map((id) => ({ id, size_bytes: 1 })),
      loaded_models: [A],
      max_concurrency: 2,
      assignment: null,
      ...fields,
    };
    return this.core.register({ identity, register, pool }, this.now);
  }

  /** A machine that has dialed and registered in these pools, in this order. */
  join(...pools: readonly ModelId[]): void {
    for (const pool of pools) {
      this.dial(pool);
      this.register(pool);
    }
  }

  /** The calls made since the last look. */
  calls(): Made[] {
    return this.#calls.splice(0);
  }

  /** Their kinds and pools, such as `release b`. */
  callNames(): string[] {
    return this.calls().map(({ pool, call }) => `${call.kind} ${pool}`);
  }

  /** Answers a call as a pool that does what it is told. */
  confirm({ pool, call }: Made): void {
    this.core.replied(pool, call, replyTo(call), this.now);
  }

  /** Answers everything that is called until nothing new is. */
  confirmAll(): void {
    for (let calls = this.calls(); calls.length > 0; calls = this.calls()) {
      for (const made of calls) if (made.call.kind !== "read") this.confirm(made);
    }
  }

  observe(
    pool: ModelId,
    mode: RecordMode,
    at: number,
    error: { code: string; message: string } | null = null,
  ): void {
    const record = { mode, epoch: at, since: this.now, progress: 0, error };
    this.core.told(pool, { kind: "record", machineId: MAC, record, loadMs: null }, this.now);
  }

  /** The regular tick; every pool it reads reports these machines. */
  tick(ms: number, reports: Readonly<Record<string, readonly PoolMachineReport[]>> = {}): void {
    this.now += ms;
    this.core.tick(this.now);
    const calls = this.calls();
    this.now += 1;
    for (const made of calls) {
      const { pool, call } = made;
      if (call.kind !== "read") {
        this.#calls.push(made);
        continue;
      }
      this.core.replied(
        pool,
        call,
        { kind: "report", report: aReport(pool, reports[pool] ?? []), totals: null },
        this.now,
      );
    }
  }

  #create(): ControlPlane {
    const core = new ControlPlane({
      callPool: (pool, call) => this.#calls.push({ pool, call }),
      isRevoked: (tokenId) => this.revoked.has(tokenId),
      onEpochsUsedUp: (machineId, reason) => this.usedUp.push(`${machineId}: ${reason}`),
      store: this.store,
      plans: this.plans,
      newestProvider: "0.10.0",
    });
    const parsed = parseCatalog(
      [A, B, C].map((id) => ({ id, context_length: 1, size_gb: 1, min_ram_gb: id === C ? 128 : 2 })),
    );
    if (!parsed.ok) throw new Error(parsed.message);
    core.directory.catalog = parsed.catalog;
    return core;
  }
}

export function aMachineReport(fields: Partial<PoolMachineReport> = {}): PoolMachineReport {
  return {
    machineId: MAC,
    isConnected: true,
    isCordoned: false,
    version: "0.7.0",
    trust: "none",
    trustProblem: null,
    loadedModels: [A],
    maxConcurrency: 2,
    decodeTps: null,
    prefillTps: null,
    contextLength: null,
    speed: null,
    blockedBy: null,
    loaded: true,
    inFlight: 0,
    freeSlots: 2,
    record: null,
    ...fields,
  };
}

export const NO_DEMAND = { arrivals: 0, good: 0, answered: 0, promptTokens: 0, completionTokens: 0 };

export function aReport(
  model: string,
  machines: readonly PoolMachineReport[],
  demand: PoolReport["demand"] = NO_DEMAND,
): PoolReport {
  const ignored = { records: 0, messages: 0, statuses: 0, unknownTypes: 0 };
  return {
    model,
    machines,
    inFlight: 0,
    queued: 0,
    isExpectingMachines: false,
    holdMs: null,
    firstTokenMs: null,
    demand,
    settingsVersion: 0,
    ignored,
  };
}

function replyTo(call: PoolCall): PoolReply {
  switch (call.kind) {
    case "expect":
      return { kind: "verdict", verdict: { ok: true, mode: "expected", epoch: call.epoch } };
    case "release":
      return { kind: "verdict", verdict: { ok: true, mode: "released", epoch: call.epoch } };
    case "unmanage":
      return { kind: "verdict", verdict: { ok: true, mode: "unmanaged", epoch: call.epoch } };
    case "announce":
    case "cordon":
    case "dismiss":
    case "expel":
    case "forget":
    case "order":
    case "read":
    case "revoke":
    case "settings":
      return { kind: "told", reached: true };
  }
}
