import { parseCatalog } from "../../../../core/catalog.ts";
import type { FlagName } from "../../../../core/flags.ts";
import { ControlPlane } from "../../../../core/fleet/control-plane.ts";
import type { PoolCall, PoolReply } from "../../../../core/pool/calls.ts";
import type { Watch } from "../../../../core/pool/demand-watch.ts";
import type { DemandTotals } from "../../../../core/pool/demand.ts";
import type { GateReason } from "../../../../core/pool/gate.ts";
import type { RecordMode } from "../../../../core/pool/record.ts";
import { epochSchema, machineIdSchema, modelIdSchema, type ModelId } from "../../../../protocol/ids.ts";
import { M3_MAX } from "../../../../protocol/sample-hardware.ts";
import { MemoryFleetStore, MemoryPlacementStore } from "../../../../simulator/handover/stores.ts";
import { aMachineReport, aReport, NO_DEMAND } from "./fleet-scene.ts";

/** A control plane with simple pools that keep what they are told, machines that obey when the test says so, and a clock. */

interface Row {
  mode: RecordMode;
  epoch: number;
  since: number;
}

export const A = modelIdSchema.parse("a");
export const B = modelIdSchema.parse("b");

export class PlacementScene {
  now = 1_000_000_000;
  readonly core: ControlPlane;
  readonly plans = new MemoryPlacementStore();
  /** Pools that do not answer. */
  readonly silent = new Set<string>();
  /** What keeps requests away from machines, in all their pools. */
  readonly blocked = new Map<string, GateReason | "offline">();
  readonly read: string[] = [];
  /** What each pool was told with its last reading. */
  readonly watches = new Map<string, Watch>();
  /** Orders that went out, such as `mac-1 b`. */
  readonly orders: string[] = [];
  readonly #records = new Map<string, Map<string, Row>>();
  readonly #loaded = new Map<string, ModelId>();
  readonly #demand = new Map<string, DemandTotals>();
  readonly #calls: { pool: string; call: PoolCall }[] = [];

  /** @param entries of the catalog, beside the defaults. */
  constructor(flags: Partial<Record<FlagName, string>> = {}, entries: Record<string, object> = {}) {
    this.core = new ControlPlane({
      callPool: (pool, call) => this.#calls.push({ pool, call }),
      isRevoked: () => false,
      onEpochsUsedUp: (machineId) => {
        throw new Error(`the epochs of ${machineId} are used up`);
      },
      store: new MemoryFleetStore(),
      plans: this.plans,
      newestProvider: "0.10.0",
    });
    const parsed = parseCatalog(
      [A, B].map((id) => ({ id, context_length: 1, size_gb: 10, min_ram_gb: 2, ...entries[id] })),
    );
    if (!parsed.ok) throw new Error(parsed.message);
    this.core.directory.catalog = parsed.catalog;
    this.set({ assignment_gate: "on", placement: "enforce", ...flags });
  }

  set(flags: Partial<Record<FlagName, string>>): void {
    for (const [name, text] of Object.entries(flags)) this.core.flagBook.set(name as FlagName, text);
    this.core.orders.obeyFlags(this.now);
    this.#run();
  }

  /** A machine with both models on its disk and this one in memory. */
  join(machineId: string, loaded: ModelId, fields: object = {}, pools: readonly ModelId[] = [A, B]): void {
    const id = machineIdSchema.parse(machineId);
    this.#loaded.set(machineId, loaded);
    for (const pool of pools) {
      this.core.dial({ machineId: id, owner: "o", tokenId: "t" }, pool, this.now);
      const identity = { machineId: id, owner: "o", tokenId: "t", acceptedAt: this.now };
      const register = {
        type: "register" as const,
        protocol: 1,
        version: "0.7.0",
        machine_id: id,
        session_id: "s",
        backend: "fake",
        public_key: machineId,
        hardware: M3_MAX,
        models: [A, B].map((model) => ({ id: model, size_bytes: 1, decode_tps: 50, prefill_tps: 1000 })),
        loaded_models: [loaded],
        max_concurrency: 2,
        assignment: null,
        ...fields,
      };
      this.core.register({ identity, register, pool }, this.now);
    }
    this.#run();
  }

  /** Requests came to a pool, all refused unless they are said to be good; the pool tells the fleet, which may not expect it. */
  ask(pool: ModelId, arrivals: number, good = 0): void {
    const before = this.#demand.get(pool) ?? NO_DEMAND;
    this.#demand.set(pool, { ...before, arrivals: before.arrivals + arrivals, good: before.good + good });
    this.core.told(pool, { kind: "demand" }, this.now);
  }

  /**
   * One tick later, with everything that follows from it.
   * @param meanwhile what happens between the reports and the plan.
   */
  tick(seconds = 30, meanwhile: () => void = () => {}): void {
    this.now += seconds * 1000;
    this.read.length = 0;
    this.core.tick(this.now);
    this.#run();
    meanwhile();
    this.core.place(this.now);
    this.#run();
  }

  /** The machine's own word about the order it holds, to the pool it was ordered to. */
  report(machineId: string, mode: "loading" | "assigned" | "failed", loadMs: number | null = null): void {
    const intent = this.core.intents.get(machineIdSchema.parse(machineId));
    if (intent?.model == null) throw new Error(`${machineId} has no order`);
    const row = { mode, epoch: intent.epoch, since: this.now };
    this.#rows(intent.model).set(machineId, row);
    if (mode === "assigned") this.#loaded.set(machineId, intent.model);
    const error = mode === "failed" ? { code: "load_failed", message: "broken" } : null;
    const record = { ...row, progress: 0, error };
    this.core.told(
      intent.model,
      { kind: "record", machineId: machineIdSchema.parse(machineId), record, loadMs },
      this.now,
    );
    this.#run();
  }

  /** Where each machine is held or wanted; null for one that is nobody's. */
  held(): Record<string, string | null> {
    return Object.fromEntries([...this.core.intents.all()].map(({ machineId, model }) => [machineId, model]));
  }

  #run(): void {
    for (let next = this.#calls.shift(); next !== undefined; next = this.#calls.shift()) {
      const { pool, call } = next;
      if (call.kind === "read") {
        this.read.push(pool);
        if (call.watch !== null) this.watches.set(pool, call.watch);
      }
      if (!this.silent.has(pool)) this.core.replied(pool, call, this.#perform(pool, call), this.now);
    }
  }

  #perform(pool: string, call: PoolCall): PoolReply {
    switch (call.kind) {
      case "expect":
      case "release":
      case "unmanage": {
        const mode = { expect: "expected", release: "released", unmanage: "unmanaged" } as const;
        const row = { mode: mode[call.kind], epoch: call.epoch, since: this.now };
        this.#rows(pool).set(call.machineId, row);
        return { kind: "verdict", verdict: { ok: true, mode: row.mode, epoch: call.epoch } };
      }
      case "order":
        this.orders.push(`${call.machineId} ${call.order.model_id}`);
        return { kind: "told", reached: true };
      case "read":
        return { kind: "report", report: this.#report(pool), totals: null };
      case "announce":
      case "cordon":
      case "dismiss":
      case "expel":
      case "forget":
      case "revoke":
      case "settings":
        return { kind: "told", reached: call.kind !== "forget" };
    }
  }

  #report(pool: string) {
    const machines = [...this.#loaded].map(([machineId, model]) => {
      const row = this.#rows(pool).get(machineId) ?? null;
      const isOpen = row === null || row.mode === "unmanaged" || row.mode === "assigned";
      const blockedBy = this.blocked.get(machineId) ?? (isOpen ? null : "released");
      return aMachineReport({
        machineId,
        isConnected: blockedBy !== "offline",
        loadedModels: [model],
        loaded: model === pool,
        blockedBy,
        record:
          row === null ? null : { ...row, epoch: epochSchema.parse(row.epoch), progress: 0, error: null },
      });
    });
    return aReport(pool, machines, this.#demand.get(pool) ?? NO_DEMAND);
  }

  #rows(pool: string): Map<string, Row> {
    const rows = this.#records.get(pool) ?? new Map<string, Row>();
    this.#records.set(pool, rows);
    return rows;
  }
}

/** Two machines that hold `a`, known to the fleet, and a first tick gone by. */
export function twoOnA(flags: ConstructorParameters<typeof PlacementScene>[0] = {}): PlacementScene {
  const scene = new PlacementScene({ min_dwell_seconds: "0", ...flags });
  scene.join("mac-1", A);
  scene.join("mac-2", A);
  scene.tick();
  return scene;
}
