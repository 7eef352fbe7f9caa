import { evictDurableObject, runInDurableObject } from "cloudflare:test";
import { afterEach, describe, expect, it, vi } from "vitest";

import type { PlacementReport } from "../../core/fleet/placement-report.ts";
import type { Utilization } from "../../core/fleet/utilization.ts";
import { Fleet } from "../../durable-objects/fleet.ts";
import { connect, registerMessage, type FakeProvider } from "./fake-provider.ts";
import {
  ADMIN,
  adminCall,
  breakDown,
  callAdmin,
  chat,
  errorOf,
  fetchEdge,
  fleet,
  poolOf,
  resetObject,
  rowsOf,
  scene,
  setFlag,
  tickFleet,
  unique,
  until,
  type Scene,
} from "./scene.ts";

/** Placement over HTTP, on real objects: demand that was refused becomes a plan, and the plan an order. */

const setFlags = async (flags: Record<string, string>): Promise<void> => {
  for (const [name, value] of Object.entries(flags)) await setFlag(name, value);
};

const OFF = { placement: "off", assignment_gate: "off", pool_exhausted_429: "off", min_dwell_seconds: "300" };

afterEach(() => {
  vi.restoreAllMocks();
  return setFlags(OFF);
});

interface Two {
  readonly a: Scene;
  readonly b: Scene;
  readonly machines: readonly FakeProvider[];
}

/** Two machines that have both models and hold that of pool a, and a pool b without any. */
async function twoInA(flags: Record<string, string>): Promise<Two> {
  const a = await scene();
  const b = await scene();
  const machines: FakeProvider[] = [];
  for (let count = 0; count < 2; count++) {
    const machineId = unique("mac");
    const machine = await connect(a, machineId);
    const models = [a.model, b.model];
    machine.send(registerMessage(machineId, models, { loaded_models: [a.model], version: "0.7.0" }));
    await machine.next("registered");
    machines.push(machine);
  }
  await setFlags({
    assignment_gate: "on",
    pool_exhausted_429: "on",
    min_dwell_seconds: "0",
    max_loads_per_tick: "4",
    ...flags,
  });
  await tick();
  return { a, b, machines };
}

const report = () => adminCall<PlacementReport>("GET", "/placement");

/** The next tick at once. */
async function tick(): Promise<void> {
  const before = (await report()).at;
  await until(async () => {
    await tickFleet();
    return (await report()).at !== before;
  });
}

const movesTo = async ({ b }: Two) => (await report()).moves.filter(({ to }) => to === b.model);
const orderedTo = ({ machines }: Two, model: string): FakeProvider[] =>
  machines.filter(({ texts }) =>
    texts.some((text) => text.includes('"assign_model"') && text.includes(`"model_id":"${model}"`)),
  );

/** A request that is refused, and the fleet has heard of it. */
async function refused({ b }: Two): Promise<void> {
  expect((await errorOf(await chat(b))).code).toBe("pool_exhausted");
  const heard = "SELECT 1 FROM pools_in_demand WHERE pool = ?";
  await until(async () => (await rowsOf(fleet(), heard, b.model)).length === 1);
}

describe("placement", () => {
  it("[F8] hears of demand with the next request if it could not hear of the one before", async () => {
    const two = await twoInA({ placement: "shadow" });
    const warned = vi.spyOn(console, "warn").mockImplementation(() => undefined);
    await runInDurableObject<Fleet, void>(fleet(), (_, state) => {
      const { told } = Fleet.prototype;
      let isBroken = false;
      vi.spyOn(Fleet.prototype, "told").mockImplementation(function (this: Fleet, pool, news) {
        if (isBroken || news.kind !== "demand") return told.call(this, pool, news);
        isBroken = true;
        return breakDown(state);
      });
    });
    expect((await errorOf(await chat(two.b))).code).toBe("pool_exhausted");
    await until(() =>
      warned.mock.calls.some(([{ event, pool }]) => event === "fleet_unreachable" && pool === two.b.model),
    );
    await refused(two);
  });

  it("[C9] gives a model that is refused none of the machines that another's floor takes, and says so", async () => {
    const two = await twoInA({ placement: "shadow" });
    const fields = { context_length: 4096, size_gb: 1, min_ram_gb: 2 };
    await adminCall("PUT", `/catalog/${two.a.model}`, { ...fields, floor: 3 });
    await refused(two);
    await tick();
    expect(await movesTo(two)).toEqual([]);
    expect((await report()).warnings).toEqual([
      `the floor of "${two.a.model}" is 3, and 2 machines can hold it`,
      expect.stringMatching(new RegExp(`floors of "${two.a.model}" take 2 machines.*"${two.b.model}"`)),
    ]);
    await adminCall("PUT", `/catalog/${two.a.model}`, { ...fields, floor: 1 });
    await tick();
    expect(await movesTo(two)).toHaveLength(1);
    expect((await report()).warnings).toEqual([]);
  });

  it("[C15] [F8] shows in shadow which machine it would give to a model that was refused, and sends nothing", async () => {
    const two = await twoInA({ placement: "shadow" });
    await refused(two);
    await evictDurableObject(poolOf(two.b));
    await tick();
    expect(await movesTo(two)).toMatchObject([{ reason: "first_machine", from: two.a.model, epoch: null }]);
    expect(orderedTo(two, two.b.model)).toEqual([]);
    const { model_pools } = await adminCall<Utilization>("GET", "/utilization");
    expect(model_pools.pools.find(({ model_id }) => model_id === two.b.model)?.desired).toBe(1);
    expect(model_pools.machines.every(({ managed }) => !managed)).toBe(true);
    const metrics = await fetchEdge("/metrics", { headers: { authorization: `Bearer ${ADMIN}` } });
    expect(await metrics.text()).toContain(`poolkeeper_demand_machines{model="${two.b.model}"} 1\n`);
    const today = (await report()).score[0];
    expect(today).toMatchObject({ mode: "shadow", served_in_time: 0, room_as_placed: 0, room_otherwise: 0 });
    expect(today?.offered).toBeGreaterThan(0);
    expect(today?.switches).toBeGreaterThan(0);
    await resetObject(fleet());
    expect((await report()).score[0]).toEqual(today);
  });

  it("[F8] [D11] moves a machine in enforce, also if the fleet slept before its tick", async () => {
    const two = await twoInA({ placement: "enforce" });
    await refused(two);
    await until(async () => (await rowsOf(fleet(), "SELECT * FROM placement")).length === 1);
    await evictDurableObject(fleet());
    await tick();
    expect(await movesTo(two)).toHaveLength(1);
    await until(() => orderedTo(two, two.b.model).length === 1);
    const [moved] = await movesTo(two);
    const details = await adminCall<{ order: { reason: string } }>("GET", `/machines/${moved?.machine_id}`);
    expect(details.order.reason).toMatch(new RegExp(`^first machine: "${two.b.model}" is asked for`));
    // The report comes from what is written.
    await evictDurableObject(fleet());
    expect((await report()).history[0]?.moves.map(({ to }) => to)).toContain(two.b.model);
  });

  it("[F13] moves nothing with a budget of 0 and says so", async () => {
    const two = await twoInA({ placement: "enforce", max_loads_per_tick: "0" });
    await refused(two);
    await tick();
    const { moves, machines, budget } = await report();
    expect({ moves, budget }).toEqual({ moves: [], budget: 0 });
    expect(machines.filter(({ best_target }) => best_target === two.b.model)).toMatchObject([
      { reason: "budget" },
      { reason: "budget" },
    ]);
    expect(orderedTo(two, two.b.model)).toEqual([]);
  });

  it("[C15] simulates other demand without a trace of it", async () => {
    const two = await twoInA({ placement: "off" });
    const before = await rowsOf(fleet(), "SELECT json FROM placement");
    const planned = await adminCall<PlacementReport>("POST", "/placement/simulate", {
      demand: { [two.b.model]: { requests_per_second: 0.5 } },
    });
    expect(planned.moves.map(({ to }) => to)).toContain(two.b.model);
    expect(await rowsOf(fleet(), "SELECT json FROM placement")).toEqual(before);
    expect((await report()).moves).toEqual([]);
  });

  it("simulates things as they are when asked with no body", async () => {
    const asked = await callAdmin("POST", "/placement/simulate");
    expect(asked.status).toBe(200);
    expect(await asked.json()).toHaveProperty("moves");
  });

  it("names what is wrong with a simulation", async () => {
    const unknown = await callAdmin("POST", "/placement/simulate", { models: { nobody: { floor: 1 } } });
    expect(await errorOf(unknown)).toMatchObject({ status: 404, code: "model_not_found", param: "nobody" });
    for (const id of ["mac-none", "Not An Id"]) {
      const machines = { [id]: { offline: true } };
      const nowhere = await callAdmin("POST", "/placement/simulate", { machines });
      expect(await errorOf(nowhere)).toMatchObject({
        status: 404,
        code: "not_found",
        param: `machines.${id}`,
        message: `no machine with the id "${id}" has registered`,
      });
    }
    const wrong = await callAdmin("POST", "/placement/simulate", {
      demand: { x: { requests_per_second: -1 } },
    });
    expect(await errorOf(wrong)).toMatchObject({ status: 400, param: "demand.x.requests_per_second" });
    const { model } = await scene({ floor: 2 });
    const capped = await callAdmin("POST", "/placement/simulate", { models: { [model]: { cap: 1 } } });
    expect(await errorOf(capped)).toMatchObject({
      status: 400,
      param: `models.${model}.cap`,
      message: `${model}: the floor must be at most the cap, which is 1`,
    });
    const { model: small } = await scene({ cap: 1 });
    const floored = await callAdmin("POST", "/placement/simulate", { models: { [small]: { floor: 2 } } });
    expect(await errorOf(floored)).toMatchObject({ status: 400, param: `models.${small}.floor` });
    for (const change of [{ floor: 2, cap: 2 }, { floor: 2, cap: null }, { floor: 1 }]) {
      const fine = await callAdmin("POST", "/placement/simulate", { models: { [small]: change } });
      expect(fine.status).toBe(200);
    }
  });
});
