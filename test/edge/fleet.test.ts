import {
  createScheduledController,
  evictDurableObject,
  runDurableObjectAlarm,
  runInDurableObject,
} from "cloudflare:test";
import { describe, expect, it, vi } from "vitest";

import type { MachineDetails } from "../../core/fleet/machine-details.ts";
import type { Utilization } from "../../core/fleet/utilization.ts";
import type { PoolReply } from "../../core/pool/calls.ts";
import { ModelPool } from "../../durable-objects/model-pool.ts";
import { Operators } from "../../durable-objects/operators.ts";
import worker from "../../worker/index.ts";
import { connect, expectAnswer, join, registerMessage } from "./fake-provider.ts";
import {
  addToCatalog,
  adminCall,
  advanceClock,
  callAdmin,
  catalogEntry,
  errorOf,
  fleet,
  pin,
  poolOf,
  resetObject,
  rowsOf,
  scene,
  setFlag,
  stopClock,
  testEnv,
  unique,
  until,
  withBrokenFleet,
  type Scene,
} from "./scene.ts";

const membersOf = async (at: Scene): Promise<unknown[]> => {
  const rows = await rowsOf(fleet(), "SELECT machine_id FROM memberships WHERE pool = ?", at.model);
  return rows.map((row) => row["machine_id"]);
};

/** Makes every dial so far look as if it had been long ago. */
const ageMemberships = () => editFleet("UPDATE memberships SET dialed_at = 0");

/** Changes what the fleet has written down, and makes it read that anew. */
async function editFleet(statement: string, ...values: (string | number)[]): Promise<void> {
  await rowsOf(fleet(), statement, ...values);
  await evictDurableObject(fleet());
}

describe("a reading of the whole fleet", () => {
  it("[C20] waits only so long for a pool that hangs, names it, and has the rest", async () => {
    const [at, hung] = [await scene(), await scene()];
    vi.spyOn(console, "warn").mockImplementation(() => undefined);
    await stopClock({ waits: true });
    await runInDurableObject<ModelPool, void>(poolOf(hung), (pool) => {
      const { perform } = pool;
      const never: unknown = new Promise(() => undefined);
      vi.spyOn(ModelPool.prototype, "perform").mockImplementation(function (this: ModelPool, call) {
        return this === pool ? (never as PoolReply) : perform.call(this, call);
      });
    });
    const reading = adminCall<Utilization>("GET", "/utilization");
    let isRead = false;
    void reading.then(() => (isRead = true));
    await until(async () => {
      await advanceClock(fleet(), 1000);
      return isRead;
    });
    const { unreachable_pools, pools } = (await reading).model_pools;
    expect(unreachable_pools).toContain(hung.model);
    expect(unreachable_pools).not.toContain(at.model);
    expect(pools.map(({ model_id }) => model_id)).toContain(at.model);
    await resetObject(poolOf(hung));
  });
});

describe("the fleet's tick", () => {
  it("is not the last if it fails", async () => {
    await join(await scene());
    await withBrokenFleet(async () => {
      await expect(runDurableObjectAlarm(fleet())).rejects.toThrow("revoked_tokens");
      const alarm = await runInDurableObject(fleet(), (_, { storage }) => storage.getAlarm());
      expect(alarm).not.toBeNull();
    });
  });

  it("does not come sooner for an order that was obeyed before its calls had to be repeated", async () => {
    await setFlag("assignment_gate", "on");
    const at = await scene();
    const machine = await join(at, { version: "0.7.0", loaded_models: [at.model] });
    await stopClock({ fleetTicks: true });
    // No alarm that is set from here on rings by itself.
    vi.setSystemTime(Date.now() + 3_600_000);
    machine.heartbeat({ loaded_models: [at.model] });
    await machine.hasHeardAll(at);
    await runDurableObjectAlarm(fleet());
    const { epoch } = await pin(machine.machineId, at);
    machine.send({ type: "assign_model_status", model_id: at.model, epoch, status: "succeeded" });
    await until(async () => {
      const { state } = await adminCall<{ state: string }>("GET", `/machines/${machine.machineId}`);
      return state === "assigned";
    });
    vi.setSystemTime(Date.now() + 1000);
    const looks = vi.spyOn(Operators.prototype, "read");
    expect(await runDurableObjectAlarm(fleet())).toBe(true);
    expect(looks).not.toHaveBeenCalled();
    // The next one is the tick, when it is due.
    vi.setSystemTime(Date.now() + 30_000);
    expect(await runDurableObjectAlarm(fleet())).toBe(true);
    expect(looks).toHaveBeenCalledOnce();
    looks.mockRestore();
    // That it hears of its release leaves nothing to be repeated to the tests that follow.
    await setFlag("assignment_gate", "off");
    machine.heartbeat({ loaded_models: [at.model], assignment: { model_id: null, epoch: epoch + 1 } });
    await until(async () => {
      const { order } = await adminCall<{ order: { outcome: string } }>(
        "GET",
        `/machines/${machine.machineId}`,
      );
      return order.outcome === "succeeded";
    });
  });

  it("[H20] closes sockets that were silent for 60 s with 4004, and no others", async () => {
    const at = await scene();
    const machine = await join(at);
    await stopClock({ fleetTicks: true });
    vi.setSystemTime(Date.now() + 50_000);
    const newer = await join(at);
    vi.setSystemTime(Date.now() + 10_001);
    expect(await runDurableObjectAlarm(fleet())).toBe(true);
    expect((await machine.closed).code).toBe(4004);
    await newer.hasHeardAll(at);
  });

  it("[H20] takes a ping for a life sign, also one that came while the pool slept", async () => {
    const at = await scene();
    const [pinging, silent] = [await join(at), await join(at)];
    await ageSockets(at);
    await evictDurableObject(poolOf(at));
    pinging.sendText("ping");
    await pinging.ponged;
    await runDurableObjectAlarm(fleet());
    expect((await silent.closed).code).toBe(4004);
    await expectAnswer(at, pinging);
  });

  it("closes sockets that never registered with 4003", async () => {
    const at = await scene();
    const machine = await connect(at);
    await stopClock({ fleetTicks: true });
    vi.setSystemTime(Date.now() + 10_001);
    await runDurableObjectAlarm(fleet());
    expect((await machine.closed).code).toBe(4003);
  });

  it("[H1] forgets a machine that has left a pool, and none that is there", async () => {
    const at = await scene();
    const [stays, leaves] = [await join(at), await join(at)];
    await ageMemberships();
    await runDurableObjectAlarm(fleet());
    expect((await membersOf(at)).sort()).toEqual([stays.machineId, leaves.machineId].sort());
    leaves.close();
    await until(async () => (await poolOf(at).report(4)).machines.length === 1);
    await runDurableObjectAlarm(fleet());
    expect(await membersOf(at)).toEqual([stays.machineId]);
  });

  it("[H1] does not forget one whose socket may still be on its way", async () => {
    const at = await scene();
    await join(at);
    const machineId = unique("mac");
    await editFleet("INSERT INTO memberships VALUES (?, ?, ?)", machineId, at.model, Date.now() - 30_000);
    await runDurableObjectAlarm(fleet());
    expect(await membersOf(at)).toContain(machineId);
  });

  it("repeats a revocation to a pool that has not heard it", async () => {
    const at = await scene();
    const machine = await join(at);
    await rowsOf(fleet(), "INSERT INTO revoked_tokens VALUES (?, ?)", at.tokenId, Date.now());
    await runDurableObjectAlarm(fleet());
    expect((await machine.closed).code).toBe(4005);
  });

  it("[H22] repeats a revocation that is older than ten minutes to a pool that shows a machine with the token", async () => {
    const at = await scene();
    const machine = await join(at);
    const longAgo = Date.now() - 600_001;
    await rowsOf(fleet(), "INSERT INTO revoked_tokens VALUES (?, ?)", at.tokenId, longAgo);
    await runDurableObjectAlarm(fleet());
    expect((await machine.closed).code).toBe(4005);
  });

  it("repeats none that is older than ten minutes to others", async () => {
    const at = await scene();
    const machine = await join(at);
    const longAgo = Date.now() - 600_001;
    await rowsOf(fleet(), "INSERT INTO revoked_tokens VALUES (?, ?)", at.tokenId, longAgo);
    await rowsOf(fleet(), "UPDATE machines SET token_id = 'another' WHERE machine_id = ?", machine.machineId);
    await resetObject(fleet());
    await runDurableObjectAlarm(fleet());
    await machine.hasHeardAll(at);
    await expectAnswer(at, machine);
  });

  it("lets a pool sleep that has no machine and knows the flags, also after the fleet's own sleep", async () => {
    await join(await scene());
    const at = await scene();
    await resetObject(poolOf(at));
    await evictDurableObject(fleet());
    expect(await runDurableObjectAlarm(fleet())).toBe(true);
    await expect(evictDurableObject(poolOf(at))).rejects.toThrow("not currently running");
  });

  it("reaches every pool even if one of them cannot be reached", async () => {
    const at = await scene();
    const machine = await join(at);
    // No object can have this name, so each call of it fails. It comes first in every list.
    await editFleet("INSERT INTO memberships VALUES (?, '-broken', 0)", machine.machineId);
    await rowsOf(fleet(), "INSERT INTO revoked_tokens VALUES (?, ?)", at.tokenId, Date.now());
    await runDurableObjectAlarm(fleet());
    expect((await machine.closed).code).toBe(4005);
    await editFleet("DELETE FROM memberships WHERE pool = '-broken'");
  });

  it("comes again as long as any machine may be connected, and not when none is", async () => {
    const at = await scene();
    await join(at);
    const alarmAt = () => runInDurableObject(fleet(), (_, state) => state.storage.getAlarm());
    expect(Number(await alarmAt()) - Date.now()).toBeLessThanOrEqual(30_000);
    await runDurableObjectAlarm(fleet());
    expect(await alarmAt()).not.toBeNull();
    await editFleet("DELETE FROM memberships");
    await runDurableObjectAlarm(fleet());
    expect(await alarmAt()).toBeNull();
  });

  it("is set again by the cron if it was lost", async () => {
    const at = await scene();
    await join(at);
    await runInDurableObject(fleet(), (_, state) => state.storage.deleteAlarm());
    const controller = createScheduledController({ cron: "* * * * *" });
    await worker.scheduled(controller, testEnv);
    const alarmAt = await runInDurableObject(fleet(), (_, state) => state.storage.getAlarm());
    expect(alarmAt).not.toBeNull();
  });
});

describe("a list of pools", () => {
  it("is told once, although another pool of the machine cannot be reached", async () => {
    const at = await scene();
    const later = unique("later");
    const machine = await connect(at);
    machine.send(registerMessage(machine.machineId, [at.model, later]));
    await machine.next("registered");
    await editFleet("INSERT INTO memberships VALUES (?, '-broken', 0)", machine.machineId);
    await addToCatalog(catalogEntry(later));
    expect(await machine.next("registered")).toMatchObject({ pools: [at.model, later] });
    await runDurableObjectAlarm(fleet());
    await machine.hasHeardAll(at);
    await editFleet("DELETE FROM memberships WHERE pool = '-broken'");
    expect(machine.unread).toEqual([]);
  });

  it("follows a catalog that an operator wrote into KV by hand, within a tick", async () => {
    const at = await scene();
    const later = unique("later");
    const machine = await connect(at);
    machine.send(registerMessage(machine.machineId, [at.model, later]));
    await machine.next("registered");
    const entries = await adminCall<object[]>("GET", "/catalog");
    await testEnv.FLAGS.put("catalog", JSON.stringify([...entries, catalogEntry(later)]));
    await evictDurableObject(fleet());
    await runDurableObjectAlarm(fleet());
    expect(await machine.next("registered")).toMatchObject({ pools: [at.model, later] });
  });
});

it("looks at a machine that has dialed within a tick, although it sleeps and is woken meanwhile", async () => {
  const at = await scene();
  await join(at);
  await stopClock();
  const alarmIn = () =>
    runInDurableObject(fleet(), async (_, { storage }) => (await storage.getAlarm()) ?? 0);
  // Long quiet, so that the next look would come in minutes.
  await rowsOf(fleet(), "INSERT OR REPLACE INTO schedule VALUES (1, ?, 9)", Date.now());
  await evictDurableObject(fleet());
  await connect(at);
  const dueAt = await alarmIn();
  expect(dueAt).toBe(Date.now() + 30_000);
  await evictDurableObject(fleet());
  vi.setSystemTime(Date.now() + 20_000);
  await worker.scheduled(createScheduledController({ cron: "* * * * *" }), testEnv);
  expect(await alarmIn()).toBe(dueAt);
  await evictDurableObject(fleet());
  await connect(at);
  expect(await alarmIn()).toBe(dueAt);
});

describe("a catalog in KV that does not parse", () => {
  it.each(["{", "[{}]", '{"id":"a"}'])("takes no machine away from its pool: %s", async (garbage) => {
    const at = await scene();
    const machine = await join(at);
    const entries = await adminCall<object[]>("GET", "/catalog");
    await testEnv.FLAGS.put("catalog", garbage);
    try {
      // It has forgotten the good one.
      await evictDurableObject(fleet());
      await runDurableObjectAlarm(fleet());
      await machine.hasHeardAll(at);
      expect(machine.unread).toEqual([]);
      await expectAnswer(at, machine);
      // Whoever registers anew is told what it was told before.
      machine.close();
      const back = await connect(at, machine.machineId);
      back.send(registerMessage(machine.machineId, [at.model]));
      expect(await back.next("registered")).toMatchObject({ pools: [at.model] });
      await expectAnswer(at, back);
    } finally {
      await adminCall("PUT", "/catalog", entries);
    }
  });

  it("is still in force at the Worker as it was before, and mended by the next PUT", async () => {
    const at = await scene();
    const machine = await join(at);
    const entries = await adminCall<object[]>("GET", "/catalog");
    await stopClock({ fleetTicks: true });
    await testEnv.FLAGS.put("catalog", "{");
    vi.setSystemTime(Date.now() + 5000);
    expect(await adminCall("GET", "/catalog")).toEqual(entries);
    await expectAnswer(at, machine);
    expect(await errorOf(await callAdmin("PUT", "/catalog", [{}]))).toMatchObject({ status: 400 });
    await adminCall("PUT", "/catalog", entries);
    vi.setSystemTime(Date.now() + 5000);
    expect(await adminCall("GET", "/catalog")).toEqual(entries);
  });
});

/** Makes the sockets of a pool look as if they had been accepted long ago and nothing had come since. */
async function ageSockets(at: Scene): Promise<void> {
  await runInDurableObject(poolOf(at), (_, state) => {
    for (const socket of state.getWebSockets()) {
      const saved = socket.deserializeAttachment() as { identity: { acceptedAt: number } };
      saved.identity.acceptedAt -= 3_600_000;
      socket.serializeAttachment(saved);
    }
  });
}

describe("how long a request machines take", () => {
  it("operators see, and are warned where clients are promised more", async () => {
    const at = await scene({ context_length: 131_072 });
    const taking = (tokens: number) => ({
      models: [{ id: at.model, size_bytes: 1, context_length: tokens }],
    });
    const small = await join(at, taking(4096));
    await join(at, taking(8192));
    const { model_pools } = await adminCall<Utilization>("GET", "/utilization");
    const ofPool = model_pools.machines.filter(({ pools }) => pools.includes(at.model));
    expect(ofPool.map((machine) => machine.context_length).toSorted()).toEqual([4096, 8192]);
    const details = await adminCall<MachineDetails>("GET", `/machines/${small.machineId}`);
    expect(details.explanation.why).toContain("up to 4096 tokens, and longer ones go to other machines");
    const warnings = async (): Promise<string[]> => {
      const report = await adminCall<{ warnings: string[] }>("GET", "/placement");
      return report.warnings.filter((text) => text.includes(at.model));
    };
    expect(await warnings()).toEqual([expect.stringContaining("more than 8192")]);
    // It takes what the catalog says.
    await join(at);
    await adminCall("GET", "/utilization");
    expect(await warnings()).toEqual([]);
  });
});
