import { createScheduledController, evictDurableObject, runDurableObjectAlarm } from "cloudflare:test";
import { beforeEach, describe, expect, it, vi } from "vitest";

import type { Utilization } from "../../core/fleet/utilization.ts";
import { Fleet } from "../../durable-objects/fleet.ts";
import worker from "../../worker/index.ts";
import { connect, dial, expectAnswer, join, registerMessage, type FakeProvider } from "./fake-provider.ts";
import {
  adminCall,
  callAdmin,
  chat,
  endGrace,
  errorOf,
  fleet,
  isShownAfterTick,
  pin,
  poolOf,
  resetObject,
  rowsOf,
  scene,
  setFlag,
  stopClock,
  testEnv,
  tickFleet,
  unique,
  until,
  untilEmpty,
  withBrokenFleet,
  type Scene,
} from "./scene.ts";

/** Switches of a machine between two pools in real objects, played out message by message. */

interface Switch {
  readonly a: Scene;
  readonly b: Scene;
  readonly machineId: string;
  /** Its socket in pool a. */
  readonly inA: FakeProvider;
}

/** A machine that has the models of two pools and serves in pool a, unmanaged: what it takes for a switch to pool b. */
async function readyToSwitch(): Promise<Switch> {
  const a = await scene();
  const b = await scene();
  const machineId = unique("mac");
  const inA = await connect(a, machineId);
  inA.send(registerMessage(machineId, [a.model, b.model], { loaded_models: [a.model], version: "0.7.0" }));
  await inA.next("registered");
  await inA.hasHeardAll(a);
  return { a, b, machineId, inA };
}

/** A new socket of the machine in pool b, where it has said which models are loaded and that it holds b's by this order. */
async function enterB(
  { a, b, machineId }: Switch,
  epoch: number,
  loaded: readonly string[] = [],
): Promise<FakeProvider> {
  const inB = await connect(b, machineId, a.token);
  inB.send(
    registerMessage(machineId, [a.model, b.model], {
      loaded_models: loaded,
      version: "0.7.0",
      assignment: { model_id: b.model, epoch },
    }),
  );
  return inB;
}

/** The machine is ordered into pool b and registered there, with nothing loaded yet. */
async function pinToB(its: Switch): Promise<{ epoch: number; inB: FakeProvider }> {
  const { epoch } = await pin(its.machineId, its.b);
  const inB = await enterB(its, epoch);
  await inB.next("registered");
  return { epoch, inB };
}

/** The machine serves in pool b, as it was ordered. */
async function switchToB(its: Switch): Promise<{ epoch: number; inB: FakeProvider }> {
  const { epoch, inB } = await pinToB(its);
  inB.send(status(its.b, epoch, "succeeded"));
  await until(async () => (await stateOf(its.machineId)) === "assigned");
  return { epoch, inB };
}

const status = (to: Scene, epoch: number, word: string, fields: object = {}) => ({
  type: "assign_model_status",
  model_id: to.model,
  epoch,
  status: word,
  ...fields,
});

async function report(): Promise<Utilization["model_pools"]> {
  return (await adminCall<Utilization>("GET", "/utilization")).model_pools;
}

async function stateOf(machineId: string): Promise<string | undefined> {
  return (await report()).machines.find((row) => row.machine_id === machineId)?.state;
}

describe("a pinned machine", () => {
  beforeEach(() => setFlag("assignment_gate", "on"));

  it("[C1] [C2] [F11] leaves its pool at once and serves the other one once it has the model", async () => {
    const its = await readyToSwitch();
    const { a, b, machineId, inA } = its;
    const { epoch } = await pin(machineId, b);
    expect(await inA.next("assign_model")).toMatchObject({ model_id: b.model, epoch, pools: [b.model] });
    expect(await errorOf(await chat(a))).toMatchObject({ status: 503 });
    const inB = await enterB(its, epoch);
    await inB.next("registered");
    expect((await inA.closed).code).toBe(4002);
    expect(await errorOf(await chat(b))).toMatchObject({ status: 503 });
    inB.send(status(b, epoch, "draining"));
    inB.send(status(b, epoch, "loading", { progress: 0.5 }));
    await until(async () => (await stateOf(machineId)) === "loading");
    await evictDurableObject(poolOf(b));
    inB.send(status(b, epoch, "succeeded"));
    await until(async () => (await stateOf(machineId)) === "assigned");
    await expectAnswer(b, inB);
    const { pools, last_switches } = await report();
    expect(pools.find((row) => row.model_id === b.model)).toMatchObject({ desired: 1, serving: 1 });
    expect(last_switches.find((row) => row.machine_id === machineId)).toMatchObject({
      to: b.model,
      epoch,
      reason: "pinned",
      outcome: "succeeded",
    });
  });

  it("is known by how long its load took, although fleet and pool slept while it loaded", async () => {
    const its = await readyToSwitch();
    const { b, machineId } = its;
    const { epoch, inB } = await pinToB(its);
    inB.send(status(b, epoch, "loading"));
    await until(async () => (await stateOf(machineId)) === "loading");
    await rowsOf(poolOf(b), "UPDATE records SET since = since - 42000 WHERE machine_id = ?", machineId);
    await evictDurableObject(poolOf(b));
    await evictDurableObject(fleet());
    inB.send(status(b, epoch, "succeeded"));
    await until(async () => (await stateOf(machineId)) === "assigned");
    const learned = () => rowsOf(fleet(), "SELECT * FROM load_times WHERE machine_id = ?", machineId);
    await until(async () => (await learned()).length > 0);
    const [row] = await learned();
    expect(row).toMatchObject({ model: b.model });
    expect(Math.floor(Number(row?.["seconds"]))).toBeGreaterThanOrEqual(42);
  });

  it("[F3] [D7] is brought into service by no status of another epoch, and not after it has failed", async () => {
    const its = await readyToSwitch();
    const { b, machineId } = its;
    const { epoch, inB } = await pinToB(its);
    inB.send(status(b, epoch - 1, "succeeded"));
    inB.send(status(b, epoch + 1, "succeeded"));
    await inB.hasHeardAll(b);
    expect(await stateOf(machineId)).toBe("expected");
    const error = { code: "load_failed", message: "no" };
    inB.send(status(b, epoch, "failed", { error }));
    inB.send(status(b, epoch, "succeeded"));
    await until(async () => (await stateOf(machineId)) === "failed");
    const details = await adminCall<{ explanation: object }>("GET", `/machines/${machineId}`);
    expect(details.explanation).toMatchObject({ gate: "failed", fix: expect.stringContaining("log") });
  });

  it("[D1] [D2] [H13] comes back to its pool and its order after every object has been reset", async () => {
    const its = await readyToSwitch();
    const { a, b } = its;
    const { epoch, inB } = await switchToB(its);
    await resetObject(poolOf(b));
    await evictDurableObject(fleet());
    await inB.closed;
    const back = await enterB(its, epoch, [b.model]);
    expect(await back.next("registered")).toMatchObject({ assignment: { model_id: b.model, epoch } });
    await expectAnswer(b, back);
    expect(await errorOf(await chat(a))).toMatchObject({ status: 503 });
  });

  it("[C18] is not ordered again what it holds", async () => {
    const { b, machineId } = await readyToSwitch();
    const { epoch } = await pin(machineId, b);
    expect((await pin(machineId, b)).epoch).toBe(epoch);
  });

  it("stays where it is when it is unpinned, from then on for placement to move, also after a reset", async () => {
    const its = await readyToSwitch();
    const { b, machineId } = its;
    const { epoch, inB } = await switchToB(its);
    const isPinned = async (): Promise<boolean> =>
      (await adminCall<{ order: { pinned: boolean } }>("GET", `/machines/${machineId}`)).order.pinned;
    expect(await isPinned()).toBe(true);
    const unpinned = await adminCall("POST", `/machines/${machineId}/unpin`);
    expect(unpinned).toEqual({ machine_id: machineId, epoch });
    await resetObject(fleet());
    expect(await isPinned()).toBe(false);
    await inB.hasHeardAll(b);
    expect(inB.unread).not.toContain("assign_model");
    const unknown = await callAdmin("POST", `/machines/${unique("mac")}/unpin`);
    expect(await errorOf(unknown)).toMatchObject({ status: 404 });
  });

  it("[C16] [C17] is refused if it is too old, private, unknown or without the model", async () => {
    const a = await scene();
    const old = await join(a, { version: "0.6.17" });
    const priv = await join(a, { version: "0.7.0", private_only: true });
    const fine = await join(a, { version: "0.7.0" });
    const other = await scene();
    for (const [machineId, model, message] of [
      [old.machineId, a.model, "older"],
      [priv.machineId, a.model, "owner"],
      [fine.machineId, other.model, "disk"],
      [fine.machineId, "no-such-model", "catalog"],
      [unique("mac"), a.model, "registered"],
    ]) {
      const response = await callAdmin("POST", `/machines/${machineId}/pin`, { model_id: model });
      expect(response.status).toBeGreaterThanOrEqual(400);
      expect((await errorOf(response)).message).toContain(message);
    }
    for (const machine of [old, fine]) {
      await machine.hasHeardAll(a);
      expect(machine.unread).not.toContain("assign_model");
    }
  });

  it("[H19] serves on when the fleet is down and its socket breaks", async () => {
    const its = await readyToSwitch();
    const { b } = its;
    const { epoch, inB } = await switchToB(its);
    await resetObject(poolOf(b));
    await inB.closed;
    await withBrokenFleet(async () => {
      const back = await enterB(its, epoch, [b.model]);
      await back.next("registered");
      await expectAnswer(b, back);
    });
  });

  it("[F2] [C21] [H17] is released when the gate is switched off, and serves both pools again", async () => {
    const its = await readyToSwitch();
    const { a, b, machineId } = its;
    const { epoch, inB } = await switchToB(its);
    await setFlag("assignment_gate", "off");
    const release = await inB.next("assign_model");
    expect(release).toMatchObject({ model_id: null, pools: [a.model, b.model] });
    expect(Number(release["epoch"])).toBeGreaterThan(epoch);
    expect(await stateOf(machineId)).toBe("unmanaged");
    await expectAnswer(b, inB);
    const inA = await connect(a, machineId);
    inA.send(
      registerMessage(machineId, [a.model, b.model], {
        loaded_models: [b.model],
        version: "0.7.0",
        assignment: { model_id: null, epoch: release["epoch"] },
      }),
    );
    await inA.next("registered");
    await expectAnswer(a, inA);
    const response = await callAdmin("POST", `/machines/${machineId}/pin`, { model_id: a.model });
    expect(await errorOf(response)).toMatchObject({ status: 400, code: "gate_off" });
  });

  it("[H9] that reports an epoch above the fleet's is brought back under a higher one", async () => {
    const a = await scene();
    const machineId = unique("mac");
    const machine = await connect(a, machineId);
    machine.send(
      registerMessage(machineId, [a.model], {
        version: "0.7.0",
        assignment: { model_id: a.model, epoch: 41 },
      }),
    );
    await machine.next("registered");
    const order = await machine.next("assign_model");
    expect(order).toMatchObject({ model_id: null, epoch: 42 });
    await expectAnswer(a, machine);
  });

  it("[H22] that is quarantined is closed with 4005 and may not dial until it is readmitted", async () => {
    const { a, machineId, inA } = await readyToSwitch();
    await adminCall("POST", `/machines/${machineId}/quarantine`);
    expect((await inA.closed).code).toBe(4005);
    await expect(connect(a, machineId)).rejects.toThrow("machine_not_allowed");
    await adminCall("POST", `/machines/${machineId}/readmit`);
    await connect(a, machineId);
  });

  it("[H2] is told to dial again by a pool that knows of a newer order than the fleet", async () => {
    const its = await readyToSwitch();
    const { b, machineId } = its;
    const { inB } = await switchToB(its);
    await rowsOf(poolOf(b), "UPDATE records SET epoch = epoch + 1 WHERE machine_id = ?", machineId);
    await resetObject(poolOf(b));
    await inB.closed;
    const response = await dial(its.a.token, `machine=${machineId}&pool=${b.model}`);
    expect(response.headers.get("retry-after")).toBe("1");
    expect(await errorOf(response)).toMatchObject({ status: 503, code: "stale_route" });
  });

  it("[H13] whose order nobody hears fails after a minute, by the alarm", async () => {
    const { b, machineId, inA } = await readyToSwitch();
    await pin(machineId, b);
    await inA.next("assign_model");
    await rowsOf(poolOf(b), "UPDATE records SET deadline_at = 1 WHERE machine_id = ?", machineId);
    await evictDurableObject(poolOf(b));
    await runDurableObjectAlarm(poolOf(b));
    await until(async () => (await stateOf(machineId)) === "failed");
    expect((await report()).last_switches[0]).toMatchObject({ machine_id: machineId, outcome: "failed" });
  });
});

describe("the flags", () => {
  it("are shown with where they come from, checked, and in force at once", async () => {
    expect(await adminCall("GET", "/flags/queue_max")).toEqual({
      name: "queue_max",
      value: "32",
      initial: "32",
      takes: { min: 0, max: 100_000 },
      source: "default",
      valid: true,
    });
    expect(await setFlag("queue_max", "7")).toMatchObject({ value: "7", initial: "32", source: "kv" });
    const response = await callAdmin("PUT", "/flags/queue_max", { value: "many" });
    expect(await errorOf(response)).toMatchObject({ status: 400, param: "value" });
    expect(await adminCall("GET", "/flags/queue_max")).toMatchObject({ value: "7" });
    await setFlag("queue_max", "32");
    expect((await callAdmin("GET", "/flags/no_such_flag")).status).toBe(404);
  });

  it("[C3] [C5] [F8] make an empty pool answer pool_exhausted, or model_unavailable if no machine could hold it", async () => {
    await setFlag("pool_exhausted_429", "on");
    const { a, inA } = await readyToSwitch();
    inA.close();
    await untilEmpty(a);
    await stopClock();
    const pending = chat(a);
    await endGrace(a, 1);
    const refused = await pending;
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThanOrEqual(10);
    expect(refused.headers.get("x-pool-reason")).toBe("pool_exhausted");
    expect(refused.headers.has("x-should-retry")).toBe(false);
    expect(await errorOf(refused)).toMatchObject({ status: 429, code: "pool_exhausted" });
    const nobody = await scene({ min_ram_gb: 90_000 });
    const unavailable = await chat(nobody);
    expect(unavailable.headers.get("x-should-retry")).toBe("false");
    expect(await errorOf(unavailable)).toMatchObject({ status: 503, code: "model_unavailable" });
    // A list of models is refused with what may be tried again, whatever else was sooner.
    for (let i = 0; i < 6; i++) {
      const both = await chat(nobody, { models: [a.model] });
      expect([both.status, both.headers.has("x-should-retry")]).toEqual([429, false]);
    }
    await setFlag("pool_exhausted_429", "off");
  });

  it("[H23] let a pool that has never had a machine ask the fleet for one that could hold its model", async () => {
    await setFlag("pool_exhausted_429", "on");
    const warned = vi.spyOn(console, "warn").mockImplementation(() => undefined);
    const nobody = await scene({ min_ram_gb: 90_000 });
    const forgetSupply = async (): Promise<void> => {
      const stale = "UPDATE settings SET json = json_set(json, '$.supply.at', 0)";
      await rowsOf(poolOf(nobody), stale);
      await resetObject(poolOf(nobody));
    };
    try {
      // Its settings are there, and with them the fleet's word, which is old by now.
      expect((await errorOf(await chat(nobody))).code).toBe("model_unavailable");
      await forgetSupply();
      expect((await errorOf(await chat(nobody))).code).toBe("model_unavailable");
      await forgetSupply();
      const silent = vi.spyOn(Fleet.prototype, "settingsFor").mockImplementation(() => {
        throw new Error("silenced by the test");
      });
      expect((await errorOf(await chat(nobody))).code).toBe("pool_exhausted");
      silent.mockRestore();
      expect(warned).toHaveBeenCalledWith(
        expect.objectContaining({ event: "fleet_unreachable", pool: nobody.model }),
      );
    } finally {
      vi.restoreAllMocks();
      await setFlag("pool_exhausted_429", "off");
    }
  });

  it("[H17] written to KV by hand count within a minute also while the fleet has no machine", async () => {
    await rowsOf(fleet(), "DELETE FROM memberships");
    await evictDurableObject(fleet());
    await testEnv.FLAGS.put("tick_seconds", "17");
    await worker.scheduled(createScheduledController({ cron: "* * * * *" }), testEnv);
    expect(await adminCall("GET", "/flags/tick_seconds")).toMatchObject({ value: "17" });
    await setFlag("tick_seconds", "30");
  });

  it("[H17] are shown in KV after a reset that came before they could be, also by a fleet that sleeps between ticks", async () => {
    await setFlag("min_provider_version", "0.1.0");
    const before = await testEnv.FLAGS.getWithMetadata("min_provider_version");
    await setFlag("min_provider_version", "none");
    await join(await scene());
    await testEnv.FLAGS.put("min_provider_version", "0.1.0", { metadata: before.metadata });
    await resetObject(fleet());
    await until(() => isShownAfterTick("min_provider_version", "none"));
    expect(await adminCall("GET", "/flags/min_provider_version")).toMatchObject({ value: "none" });
  });

  it("of a later version do not stand in the way of this one, to which an operator has gone back", async () => {
    await rowsOf(fleet(), "INSERT INTO flags VALUES ('of_a_later_version', 'on', NULL, NULL, 1)");
    try {
      await resetObject(fleet());
      expect(await adminCall("GET", "/flags/tick_seconds")).toMatchObject({ value: "30" });
      await join(await scene());
    } finally {
      await rowsOf(fleet(), "DELETE FROM flags WHERE name = 'of_a_later_version'");
    }
  });

  it("[H17] written to KV by hand count at the next tick, and one that does not parse changes nothing", async () => {
    await testEnv.FLAGS.put("queue_max", "9");
    await join(await scene());
    await tickFleet();
    await until(async () => (await adminCall<{ value: string }>("GET", "/flags/queue_max")).value === "9");
    await testEnv.FLAGS.put("queue_max", "lots");
    await tickFleet();
    await until(async () => !(await adminCall<{ valid: boolean }>("GET", "/flags/queue_max")).valid);
    expect(await adminCall("GET", "/flags/queue_max")).toMatchObject({ value: "9", invalid: "lots" });
    await setFlag("queue_max", "32");
  });
});
