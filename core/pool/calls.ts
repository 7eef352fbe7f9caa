import type { AssignModel, Registered } from "../../protocol/downstream.ts";
import type { Epoch, MachineId, ModelId } from "../../protocol/ids.ts";
import type { CordonWord } from "./cordons.ts";
import type { Watch } from "./demand-watch.ts";
import type { Pool } from "./pool.ts";
import type { Terms, Verdict } from "./record.ts";
import type { PoolReport } from "./report.ts";
import type { PoolSettings } from "./settings.ts";

/**
 * The fleet's calls to a pool. Every call may be lost, repeated or delayed, so all are idempotent: orders carry an epoch,
 * cordons a timestamp, and the others only state facts.
 */

export type PoolCall =
  | { readonly kind: "expect"; readonly machineId: MachineId; readonly epoch: Epoch; readonly terms: Terms }
  | { readonly kind: "release" | "unmanage"; readonly machineId: MachineId; readonly epoch: Epoch }
  /** Passes an order on. The reply says whether a socket was there to take it. */
  | { readonly kind: "order"; readonly machineId: MachineId; readonly order: AssignModel }
  | { readonly kind: "dismiss"; readonly machineId: MachineId; readonly epoch: Epoch }
  /** The reply says whether the pool is rid of the machine: it has neither a socket nor a record of it. */
  | { readonly kind: "forget"; readonly machineId: MachineId }
  | {
      readonly kind: "announce";
      readonly machineId: MachineId;
      readonly pools: readonly ModelId[];
      readonly assignment: Registered["assignment"];
    }
  | { readonly kind: "expel"; readonly machineId: MachineId }
  | ({ readonly kind: "cordon"; readonly machineId: MachineId } & CordonWord)
  | { readonly kind: "revoke"; readonly tokenId: string }
  | { readonly kind: "settings"; readonly settings: PoolSettings }
  /** Closes dead sockets, takes the settings over, then reports. The watch is null unless the fleet looks at all pools. */
  | {
      readonly kind: "read";
      /** When the fleet asked, ms since the epoch: the report counts as of then. */
      readonly askedAt: number;
      readonly slotsPerMachine: number;
      readonly settings: PoolSettings;
      readonly watch: Watch | null;
      /** Whether the report is to come with all that the pool has counted. */
      readonly withTotals: boolean;
    };

export type ReadCall = Extract<PoolCall, { kind: "read" }>;

export type PoolReply =
  | { readonly kind: "verdict"; readonly verdict: Verdict }
  | { readonly kind: "told"; readonly reached: boolean }
  /** Totals and report are of the same moment; null if they were not asked for. */
  | {
      readonly kind: "report";
      readonly report: PoolReport;
      readonly totals: ReadonlyMap<string, number> | null;
    };

/** Executes a call. */
export function perform(pool: Pool, call: PoolCall, now: number): PoolReply {
  switch (call.kind) {
    case "expect":
      return { kind: "verdict", verdict: pool.orders.expect(call.machineId, call.epoch, call.terms, now) };
    case "release":
      return { kind: "verdict", verdict: pool.orders.release(call.machineId, call.epoch, now) };
    case "unmanage":
      return { kind: "verdict", verdict: pool.orders.unmanage(call.machineId, call.epoch, now) };
    case "order":
      return told(pool.orders.passOn(call.machineId, call.order));
    case "dismiss":
      pool.orders.dismiss(call.machineId, call.epoch, now);
      return told(true);
    case "forget":
      return told(pool.orders.forget(call.machineId, now));
    case "announce":
      pool.orders.announce(call.machineId, call.pools, call.assignment);
      return told(true);
    case "expel":
      pool.orders.expel(call.machineId, now);
      return told(true);
    case "cordon":
      pool.orders.cordon(call.machineId, call, now);
      return told(true);
    case "revoke":
      pool.orders.revoke(call.tokenId, now);
      return told(true);
    case "settings":
      pool.configure(call.settings, now);
      return told(true);
    case "read":
      pool.configure(call.settings, now);
      pool.sweep(now);
      if (call.watch !== null) pool.watch.looked(call.watch);
      return {
        kind: "report",
        report: pool.report(now, call.slotsPerMachine),
        totals: call.withTotals ? new Map(pool.ledger.totals.all()) : null,
      };
  }
}

function told(reached: boolean): PoolReply {
  return { kind: "told", reached };
}
