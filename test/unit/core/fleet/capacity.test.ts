import { describe, expect, it } from "vitest";

import { capacity } from "../../../../core/fleet/capacity.ts";
import { sightingsIn, type FleetView } from "../../../../core/fleet/fleet-view.ts";
import type { Intent, Machine } from "../../../../core/fleet/machine.ts";
import type { PoolMachineReport, PoolReport } from "../../../../core/pool/report.ts";
import { epochSchema, machineIdSchema, modelIdSchema } from "../../../../protocol/ids.ts";
import { M3_ULTRA } from "../../../../protocol/sample-hardware.ts";
import { aMachineReport, NO_DEMAND } from "./fleet-scene.ts";

const NOW = 1_000_000;

function aMachine(machineId: string): Machine {
  return {
    machineId: machineIdSchema.parse(machineId),
    owner: "acme",
    publicKey: "key",
    version: "0.7.0",
    sessionId: "session",
    tokenId: null,
    privateOnly: false,
    hardware: M3_ULTRA,
    models: [],
    maxConcurrency: 4,
    pools: [],
    isQuarantined: false,
    cordonedAt: null,
    uncordonedAt: null,
    goneAt: null,
    leftAt: null,
    firstRegisteredAt: 0,
    registeredAt: 0,
  };
}

function anIntent(machineId: string, model: string): [string, Intent] {
  const intent: Intent = {
    machineId: machineIdSchema.parse(machineId),
    epoch: epochSchema.parse(3),
    model: modelIdSchema.parse(model),
    from: null,
    reason: "pinned",
    phase: "ordered",
    outcome: null,
    error: null,
    pending: [],
    holders: [],
    isHeard: true,
    isPinned: true,
    startedAt: NOW - 60_000,
    phaseAt: NOW - 60_000,
    rounds: 0,
    retryAt: null,
  };
  return [machineId, intent];
}

function there(machineId: string, fields: Partial<PoolMachineReport> = {}): PoolMachineReport {
  return aMachineReport({ machineId, loadedModels: [], freeSlots: 4, ...fields });
}

const loading = (machineId: string, progress: number, sinceMs: number): PoolMachineReport =>
  there(machineId, {
    blockedBy: "loading",
    record: { mode: "loading", epoch: 3, since: NOW - sinceMs, progress, error: null },
  });

function aReport(model: string, machines: PoolMachineReport[], queued = 0): [string, PoolReport] {
  const ignored = { records: 0, messages: 0, statuses: 0, unknownTypes: 0 };
  const counts = {
    inFlight: 0,
    queued,
    isExpectingMachines: false,
    holdMs: null,
    firstTokenMs: null,
    demand: NO_DEMAND,
    settingsVersion: 1,
  };
  return [model, { model, machines, ...counts, ignored }];
}

function aView(fields: Partial<FleetView>): FleetView {
  const empty = { intents: new Map(), cooldowns: [], switches: [], machines: [] };
  const reports = fields.reports ?? new Map<string, PoolReport>();
  const never = (): boolean => false;
  const asked = { contextOf: () => null, isRevoked: never, isContested: never };
  return {
    now: NOW,
    models: ["m"],
    ...asked,
    ...empty,
    reports,
    sightings: sightingsIn(reports),
    ...fields,
  };
}

const only = (view: FleetView, asked = ["m"], shed: readonly string[] = []) =>
  capacity(view, new Set(asked), shed).models[0];

describe("the capacity of a model", () => {
  it("is what routable machines have, busy or not", () => {
    const machines = [
      there("mac-a", { inFlight: 4, freeSlots: 0 }),
      there("mac-b", { inFlight: 1, freeSlots: 3 }),
      there("mac-c", { blockedBy: "silent", inFlight: 2 }),
    ];
    const [model, report] = aReport("m", machines, 5);
    const reports = new Map([[model, { ...report, firstTokenMs: 240.3 }]]);
    expect(only(aView({ reports }))).toEqual({
      id: "m",
      serving: 2,
      slots: 8,
      free_slots: 3,
      context_length: null,
      exhausted: false,
      queued: 5,
      ttft_p50_ms: 240,
      loading: 0,
      eta_s: null,
    });
  });

  it("has the longest request that one of the routable machines takes, if all of them say", () => {
    const takes = (...contexts: (number | null)[]) => {
      const machines = contexts.map((contextLength, index) => there(`mac-${index}`, { contextLength }));
      const shut = there("mac-x", { contextLength: 999_999, blockedBy: "silent" });
      return only(aView({ reports: new Map([aReport("m", [...machines, shut])]) }))?.context_length;
    };
    expect([takes(4096, 32_768), takes(4096, null), takes(null), takes()]).toEqual([
      32_768,
      null,
      null,
      null,
    ]);
  });

  it("is none without a machine, and unknown from a pool that was asked and is silent", () => {
    expect(only(aView({}), [])).toMatchObject({
      serving: 0,
      slots: 0,
      free_slots: 0,
      exhausted: true,
      queued: 0,
    });
    const unknown = { serving: null, slots: null, free_slots: null, exhausted: null, queued: null };
    expect(only(aView({}))).toMatchObject({ ...unknown, context_length: null });
  });

  it("is none while operators have switched the model off, whatever its machines could do", () => {
    const view = aView({ reports: new Map([aReport("m", [there("mac-a")])]) });
    expect(only(view, ["m"], ["m"])).toMatchObject({ serving: 0, slots: 0, free_slots: 0, exhausted: true });
    expect(only(view, ["m"], ["n"])).toMatchObject({ serving: 1, exhausted: false });
  });

  it("is not exhausted while the pool waits for machines that were there: no request is refused", () => {
    const [id, report] = aReport("m", [there("mac-a", { isConnected: false, blockedBy: "offline" })]);
    const reports = new Map([[id, { ...report, isExpectingMachines: true }]]);
    expect(only(aView({ reports }))).toMatchObject({ serving: 0, slots: 0, exhausted: false });
  });

  it("counts machines on their way, and says when the first should be there", () => {
    const ids = ["mac-a", "mac-b", "mac-c"];
    const view = aView({
      machines: ids.map(aMachine),
      intents: new Map(ids.map((id) => anIntent(id, "m"))),
      reports: new Map([
        aReport("m", [
          loading("mac-a", 0.25, 10_000),
          loading("mac-b", 0.5, 60_000),
          loading("mac-c", 0, 5_000),
        ]),
      ]),
    });
    expect(only(view)).toMatchObject({ serving: 0, exhausted: true, loading: 3, eta_s: 30 });
  });

  it("does not count machines on their way that are cordoned: they will not serve", () => {
    const machines = [{ ...aMachine("mac-a"), cordonedAt: NOW }, aMachine("mac-b")];
    const view = aView({
      machines,
      intents: new Map(machines.map(({ machineId }) => anIntent(machineId, "m"))),
      reports: new Map([aReport("m", [loading("mac-a", 0.9, 10_000), loading("mac-b", 0.5, 60_000)])]),
    });
    expect(only(view)).toMatchObject({ loading: 1, eta_s: 60 });
  });

  it("does not count machines that are assigned, failed or gone", () => {
    const at = { epoch: 3, since: NOW, progress: 1, error: null } as const;
    const view = aView({
      machines: ["mac-a", "mac-b", "mac-c"].map(aMachine),
      intents: new Map(["mac-a", "mac-b", "mac-c"].map((id) => anIntent(id, "m"))),
      reports: new Map([
        aReport("m", [
          there("mac-a", { record: { mode: "assigned", ...at } }),
          there("mac-b", { blockedBy: "failed", record: { mode: "failed", ...at } }),
          there("mac-c", { isConnected: false, blockedBy: "offline", record: { mode: "loading", ...at } }),
        ]),
      ]),
    });
    expect(only(view)).toMatchObject({ serving: 1, loading: 0, eta_s: null });
  });
});
