import { describe, expect, it } from "vitest";

import { readFlags } from "../../../../core/flags.ts";
import { explain } from "../../../../core/fleet/explain.ts";
import { sightingsIn, type FleetView } from "../../../../core/fleet/fleet-view.ts";
import { machineDetails } from "../../../../core/fleet/machine-details.ts";
import { NOTHING_USEFUL } from "../../../../core/fleet/useful-models.ts";
import { utilization } from "../../../../core/fleet/utilization.ts";
import type { GateReason } from "../../../../core/pool/gate.ts";
import type { PoolMachineReport } from "../../../../core/pool/report.ts";
import { A, aMachineReport, aReport, B, FleetScene, MAC } from "./fleet-scene.ts";

const flags = readFlags({ assignment_gate: "on" });

/** The fleet of a scene as it looks while its pools report these machines. */
function viewOf(
  scene: FleetScene,
  reports: Readonly<Record<string, readonly PoolMachineReport[]>>,
): FleetView {
  const told = new Map([A, B].map((pool) => [pool, aReport(pool, reports[pool] ?? [])]));
  return { ...scene.core.ownView(scene.now), models: [A, B], reports: told, sightings: sightingsIn(told) };
}

function why(scene: FleetScene, reports: Readonly<Record<string, readonly PoolMachineReport[]>>) {
  const machine = scene.core.directory.get(MAC);
  if (machine === null) throw new Error("the machine has not registered");
  return explain(viewOf(scene, reports), machine, flags);
}

function joined(): FleetScene {
  const scene = new FleetScene();
  scene.join(A, B);
  scene.calls();
  return scene;
}

/** A machine on its way to b, with what b says of it. */
function ordered(mode: "expected" | "draining" | "loading" | "assigned" | "failed", progress = 0) {
  const scene = joined();
  scene.core.orders.pin(MAC, B, scene.now);
  scene.confirmAll();
  const error = mode === "failed" ? { code: "insufficient_memory", message: "too big" } : null;
  scene.observe(B, mode, 1, error);
  const record = { mode, epoch: 1, since: scene.now, progress, error } as const;
  const blockedBy = mode === "assigned" ? null : mode;
  return { scene, reports: { b: [aMachineReport({ record, blockedBy })] } };
}

describe("why a machine is idle", () => {
  it("is that nobody asks, if every gate is open", () => {
    expect(why(joined(), { a: [aMachineReport()] })).toMatchObject({
      gate: null,
      why: expect.stringContaining("waits for requests"),
      fix: null,
    });
  });

  it("does not hide that the first request has to wait, whatever else it holds", () => {
    const holds = (...loadedModels: string[]) =>
      why(joined(), {
        a: [aMachineReport({ loadedModels, loaded: loadedModels.includes(A) })],
        b: [aMachineReport({ loadedModels, loaded: loadedModels.includes(B) })],
      }).why;
    expect(holds()).toContain("has to wait for its model to load");
    expect(holds("gone-from-the-catalog")).toContain("has to wait for its model to load");
    expect(holds(B)).toBe('nothing keeps requests away: it waits for requests to "a", "b"');
  });

  it("names what it takes of a model that clients are promised more of, and what becomes of the rest", () => {
    const scene = joined();
    const asIfPromised = (tokens: number | null, ...others: PoolMachineReport[]) => {
      const told = viewOf(scene, { a: [aMachineReport({ contextLength: 4096 }), ...others] });
      const machine = scene.core.directory.get(MAC);
      if (machine === null) throw new Error("the machine has not registered");
      return explain({ ...told, contextOf: () => tokens }, machine, flags).why;
    };
    const other = (contextLength: number | null, blockedBy: GateReason | null = null) =>
      aMachineReport({ machineId: "other", contextLength, blockedBy });
    const plain = 'nothing keeps requests away: it waits for requests to "a"';
    const short = `${plain}; of requests to "a" it takes those of up to 4096 tokens, and longer ones`;
    expect(asIfPromised(4096)).toBe(plain);
    expect(asIfPromised(8192)).toBe(`${short} are refused`);
    expect(asIfPromised(8192, other(4096), other(null, "silent"))).toBe(`${short} are refused`);
    expect(asIfPromised(8192, other(8192))).toBe(`${short} go to other machines`);
    expect(asIfPromised(null, other(null))).toBe(`${short} go to other machines`);
  });

  it("is said in the same words whichever pool has answered first", () => {
    const scene = joined();
    const view = viewOf(scene, { a: [aMachineReport()], b: [aMachineReport()] });
    const reports = new Map([...view.reports].toReversed());
    const [machine] = view.machines;
    if (machine === undefined) throw new Error("the machine has not registered");
    for (const told of [view.reports, reports]) {
      expect(explain({ ...view, reports: told, sightings: sightingsIn(told) }, machine, flags).why).toContain(
        'requests to "a", "b"',
      );
    }
  });

  it.each([
    [0, "an operator cordoned it 5 min ago: it gets no requests"],
    [1, "an operator cordoned it 5 min ago: it finishes 1 request and gets no new ones"],
  ])("is that an operator has cordoned it, with %i requests to finish", (inFlight, words) => {
    const scene = joined();
    scene.core.cordons.set(MAC, true, scene.now);
    scene.now += 300_000;
    expect(why(scene, { a: [aMachineReport({ inFlight, blockedBy: "cordoned" })] })).toEqual({
      gate: "cordoned",
      why: words,
      fix: "ask the operator to uncordon it",
      unmanaged_because: null,
    });
  });

  it("is not said while it serves", () => {
    expect(why(joined(), { a: [aMachineReport({ inFlight: 2 })] }).why).toBe("it is serving 2 requests");
  });

  it("is its network, if it has no socket anywhere", () => {
    expect(why(joined(), {})).toMatchObject({ gate: "offline", fix: expect.stringContaining("start") });
  });

  it("is its token, if it has no socket since that was revoked, until it comes with another one", () => {
    const scene = joined();
    scene.revoked.add("t");
    expect(why(scene, { a: [aMachineReport()] })).toMatchObject({ gate: null });
    expect(why(scene, {})).toEqual({
      gate: "token_revoked",
      why: "the provider token that it last connected with was revoked",
      fix: "ask the operator to make a new provider token, and start the provider with it",
      unmanaged_because: null,
    });
    scene.restart();
    expect(why(scene, {})).toMatchObject({ gate: "token_revoked" });
    scene.register(A, {}, MAC, "another");
    expect(why(scene, {})).toMatchObject({ gate: "offline" });
  });

  describe("is that two programs run under its id", () => {
    /** Each registers 10 s after the one before. */
    const registered = (...sessions: string[]): FleetScene => {
      const scene = joined();
      for (const session_id of sessions) {
        scene.now += 10_000;
        for (const pool of [A, B]) scene.register(pool, { session_id });
      }
      return scene;
    };

    it("if they come in turns, until two minutes after the last of it", () => {
      const scene = registered("one", "other", "one");
      const said = { gate: null, why: expect.stringContaining("two programs"), fix: expect.any(String) };
      expect(why(scene, { a: [aMachineReport()] })).toMatchObject(said);
      expect(why(scene, { a: [aMachineReport({ blockedBy: "too_hot" })] })).toMatchObject({
        ...said,
        gate: "too_hot",
      });
      scene.now += 119_999;
      expect(why(scene, { a: [aMachineReport()] })).toMatchObject(said);
      scene.now += 1;
      expect(why(scene, { a: [aMachineReport()] })).toMatchObject({ fix: null });
    });

    it("also after one of them has been started anew in between", () => {
      const scene = registered("one", "other", "one", "another");
      expect(why(scene, { a: [aMachineReport()] }).why).toContain("two programs");
    });

    it("but not if one is started anew again and again, or is gone", () => {
      const scene = registered("one", "two", "three", "three", "four");
      expect(why(scene, { a: [aMachineReport()] })).toMatchObject({ gate: null, fix: null });
      const gone = registered("one", "other", "one");
      expect(why(gone, {})).toMatchObject({ gate: "offline" });
    });
  });

  it("is its disk, if it has no model of the catalog, and says which to download", () => {
    const scene = joined();
    scene.register(A, { models: [] });
    expect(why(scene, { a: [aMachineReport()] })).toMatchObject({
      gate: "no_catalog_model",
      fix: "unless it is downloading the model already, start the provider with --model ID=hf:ORG/REPO/file.gguf, for one of: a, b",
    });
  });

  it("is the quarantine, before anything else", () => {
    const scene = joined();
    scene.core.quarantine(MAC, scene.now);
    expect(why(scene, {})).toMatchObject({ gate: "quarantined" });
  });

  it("is the pool that does not let go of it, and after two minutes somebody should look", () => {
    const scene = joined();
    scene.core.orders.pin(MAC, B, scene.now);
    expect(why(scene, { a: [aMachineReport()] })).toMatchObject({ gate: "releasing", fix: null });
    scene.now += 120_001;
    expect(why(scene, { a: [aMachineReport()] }).fix).toContain("do not answer");
  });

  it("is an order that was not understood, of which nobody is asked to let go", () => {
    const scene = joined();
    scene.core.orders.pin(MAC, B, scene.now);
    const [intent] = scene.core.intents.all();
    if (intent !== undefined) scene.core.intents.save({ ...intent, pending: [] });
    expect(why(scene, { a: [aMachineReport()] })).toMatchObject({
      gate: "releasing",
      why: 'its order to serve "b" is given again in a moment',
    });
  });

  it.each([
    ["expected", "not answered"],
    ["draining", "finishes its requests"],
    ["loading", "(40 %)"],
  ] as const)("is its switch while it is %s", (mode, words) => {
    const { scene, reports } = ordered(mode, 0.4);
    expect(why(scene, reports)).toMatchObject({ gate: mode, why: expect.stringContaining(words) });
  });

  it("is what went wrong, when it comes again, and what would help", () => {
    const { scene, reports } = ordered("failed");
    expect(why(scene, reports)).toMatchObject({
      gate: "failed",
      why: expect.stringMatching(/too big.*again in 2 min/),
      fix: expect.stringContaining("memory"),
    });
  });

  it("is that its model is still being downloaded, and that nobody need do anything then", () => {
    const { scene, reports } = ordered("loading");
    const message = "no file for b: it is being downloaded (40 %)";
    scene.observe(B, "failed", 1, { code: "model_not_on_disk", message });
    expect(why(scene, reports)).toMatchObject({
      gate: "failed",
      why: `it could not serve "b": ${message}; it will be tried again as soon as it has the model, and in 2 min`,
      fix: expect.stringContaining("unless it is downloading the model already"),
    });
  });

  it.each<[GateReason, string]>([
    ["outdated", "newer provider"],
    ["owner_private", "--private"],
    ["reserved", "resume"],
    ["below_trust_level", "--attestation-chain"],
    ["too_hot", "cool"],
    ["silent", "network"],
    ["not_accepting", "start"],
    ["owner_busy", "null"],
  ])("is the routing gate %s", (blockedBy, fix) => {
    const explanation = why(joined(), { a: [aMachineReport({ blockedBy })] });
    expect(explanation.gate).toBe(blockedBy);
    expect(String(explanation.fix)).toContain(fix);
  });

  it("[C16] says beside it why the machine is not given an assignment", () => {
    const scene = joined();
    scene.register(A, { version: "0.1.0" });
    expect(why(scene, { a: [aMachineReport()] })).toMatchObject({
      gate: null,
      unmanaged_because: expect.stringContaining("older than 0.6.18"),
    });
  });
});

describe("[C20] the report", () => {
  const reportOf = (scene: FleetScene, reports: Readonly<Record<string, readonly PoolMachineReport[]>>) =>
    utilization(viewOf(scene, reports), flags, null, new Map([[B, 2]]), []).model_pools;

  it("counts a machine that was never managed in each pool where a request could reach it", () => {
    const { pools, machines } = reportOf(joined(), { a: [aMachineReport()], b: [aMachineReport()] });
    expect(pools.map(({ unmanaged, serving, floor }) => [unmanaged, serving, floor])).toEqual([
      [1, 0, 0],
      [1, 0, 2],
    ]);
    expect(machines).toMatchObject([{ managed: false, state: "unmanaged", epoch: 0, pools: [A, B] }]);
  });

  it.each(["expected", "draining", "loading", "failed"] as const)(
    "[F1] counts no machine as serving that is %s",
    (mode) => {
      const { scene, reports } = ordered(mode);
      const { pools, machines } = reportOf(scene, reports);
      expect(pools[1]).toMatchObject({ desired: 1, serving: 0 });
      expect(machines).toMatchObject([{ managed: true, assigned_model: B, state: mode }]);
    },
  );

  it("counts in a pool only what is there and open, and what waits in it", () => {
    const { scene, reports } = ordered("assigned");
    const busy = aMachineReport({ record: reports.b[0]?.record ?? null, blockedBy: "too_hot", freeSlots: 3 });
    const told = viewOf(scene, { a: [aMachineReport()], b: [busy] });
    const b = { ...aReport(B, [busy]), inFlight: 2, queued: 5 };
    const view = { ...told, reports: new Map([...told.reports, [B, b]]) };
    expect(utilization(view, flags, null, new Map(), []).model_pools).toMatchObject({
      pools: [
        { desired: 0, serving: 0, unmanaged: 0, free_slots: 2 },
        { desired: 1, serving: 0, loading: 0, unmanaged: 0, free_slots: 0, in_flight: 2, queued: 5 },
      ],
      machines: [{ assigned_model: B, epoch: 1 }],
    });
  });

  it("counts one that serves, and the machines with two models in memory", () => {
    const { scene, reports } = ordered("assigned");
    expect(reportOf(scene, reports)).toMatchObject({
      pools: [{}, { desired: 1, serving: 1, free_slots: 2 }],
      machines: [{ state: "assigned", loaded_models: [A] }],
      co_resident_machines: 0,
      last_switches: [{ outcome: "succeeded", to: B }],
    });
    const two = { b: [aMachineReport({ loadedModels: [A, B] })] };
    expect(reportOf(scene, two).co_resident_machines).toBe(1);
  });

  it("says of each machine what it is, why it is idle, and how fast: as measured, else as it says", () => {
    const { scene, reports } = ordered("loading", 0.4);
    expect(reportOf(scene, reports).machines).toMatchObject([
      {
        hardware: expect.any(String),
        memory_gb: expect.any(Number),
        decode_tps: null,
        explanation: { gate: "loading", why: expect.stringContaining("40 %") },
      },
    ]);
    const speedIn = (report: Partial<PoolMachineReport>) =>
      reportOf(joined(), { a: [aMachineReport(report)] }).machines[0]?.decode_tps;
    expect(speedIn({ decodeTps: 40 })).toBe(40);
    expect(speedIn({ decodeTps: 40, speed: { prefillTps: null, decodeTps: [57] } })).toBe(57);
    expect(speedIn({ decodeTps: 40, loaded: false })).toBeNull();
  });

  it("says that a machine is offline if no pool has a socket of it", () => {
    const { scene } = ordered("assigned");
    const record = { mode: "assigned", epoch: 1, since: 0, progress: 0, error: null } as const;
    const gone = aMachineReport({ isConnected: false, blockedBy: "offline", record });
    expect(reportOf(scene, { b: [gone] })).toMatchObject({
      pools: [{}, { serving: 0 }],
      machines: [{ state: "offline", managed: true }],
    });
  });
});

it.each([
  ["off", null],
  ["shadow", "dwell"],
] as const)("says with placement %s why a plan left a machine alone: %s", (placement, said) => {
  const scene = joined();
  const machine = scene.core.directory.get(MAC);
  if (machine === null) throw new Error("the machine has not registered");
  const details = machineDetails(
    viewOf(scene, {}),
    machine,
    readFlags({ placement }),
    "dwell",
    NOTHING_USEFUL,
    [],
  );
  expect(details.stays_because).toBe(said);
});
