import { evictDurableObject, runInDurableObject } from "cloudflare:test";
import { describe, expect, it } from "vitest";

import { FLEET_MIGRATIONS } from "../../durable-objects/storage/migrations.ts";
import { REGISTER_TIMEOUT_MS } from "../../protocol/limits.ts";
import { connect, expectAnswer, HELLO, join, registerMessage, type FakeProvider } from "./fake-provider.ts";
import {
  addToCatalog,
  adminCall,
  advanceClock,
  catalogEntry,
  chat,
  errorOf,
  fleet,
  poolOf,
  rowsOf,
  scene,
  stopClock,
  unique,
  until,
  untilQueued,
  type Scene,
} from "./scene.ts";

/** Puts the pool to sleep as the platform does with one that is idle. Its sockets stay open. */
async function sleep(at: Scene): Promise<void> {
  // Writes the counters; until then a pool stays awake for them.
  await poolOf(at).usage(0);
  await evictDurableObject(poolOf(at));
}

describe("a pool that sleeps", () => {
  it("between register and request loses nothing", async () => {
    const at = await scene();
    const machine = await join(at);
    await sleep(at);
    await expectAnswer(at, machine);
  });

  it("still knows on which machine a long prompt fits", async () => {
    const at = await scene({ context_length: 131_072 });
    const models = [{ id: at.model, size_bytes: 1, context_length: 1024 }];
    const small = await join(at, { models });
    const large = await join(at);
    // What it could not say before its model was loaded.
    large.heartbeat({ loaded_models: [at.model], context_length: 65_536 });
    await large.hasHeardAll(at);
    await sleep(at);
    const question = chat(at, { messages: [{ role: "user", content: "word ".repeat(4000) }], max_tokens: 9 });
    large.answer(await large.next("inference_request"), "{}");
    expect((await question).status).toBe(200);
    await small.hasHeardAll(at);
    expect(small.unread).toEqual([]);
  });

  it("between dial and register still takes the register", async () => {
    const at = await scene();
    // So that the platform does not see the timer that waits for the register and would keep the pool awake.
    await stopClock();
    const machine = await connect(at);
    await sleep(at);
    machine.send(registerMessage(machine.machineId, [at.model]));
    await machine.next("registered");
    await expectAnswer(at, machine);
  });

  it("has its pings answered without waking", async () => {
    const at = await scene();
    const machine = await join(at);
    await sleep(at);
    machine.sendText("ping");
    await machine.ponged;
    // Nobody was woken for it.
    await expect(evictDurableObject(poolOf(at))).rejects.toThrow("not currently running");
    await expectAnswer(at, machine);
  });

  it("between two requests never repeats a stream number", async () => {
    const at = await scene();
    const machine = await join(at);
    const streams = [];
    for (let i = 0; i < 3; i++) {
      streams.push((await expectAnswer(at, machine))["stream"], (await expectAnswer(at, machine))["stream"]);
      await sleep(at);
    }
    expect(new Set(streams).size).toBe(6);
    expect(streams).toEqual([...streams].sort((a, b) => Number(a) - Number(b)));
  });

  it("drops what a machine sends for a stream of before", async () => {
    const at = await scene();
    const machine = await join(at);
    const before = await expectAnswer(at, machine);
    await sleep(at);
    const pending = chat(at, { stream: true });
    const request = await machine.next("inference_request");
    machine.accept(request);
    machine.bytes(before, "data: ghost\n\n");
    machine.complete(before);
    machine.bytes(request, "data: real\n\n");
    machine.finish(request);
    expect(await (await pending).text()).toBe("data: real\n\ndata: [DONE]\n\n");
    expect((await poolOf(at).report(4)).ignored).toMatchObject({ records: 1, messages: 1 });
  });

  it("keeps what the last heartbeat said", async () => {
    const at = await scene();
    const machine = await join(at);
    machine.heartbeat({ loaded_models: [at.model], accepting: false });
    await until(async () => (await poolOf(at).report(4)).machines[0]?.blockedBy === "not_accepting");
    await sleep(at);
    expect(await errorOf(await chat(at))).toMatchObject({ status: 503, code: "model_unavailable" });
  });

  it("is no longer than before the only one with a machine whose socket closed meanwhile", async () => {
    const at = await scene();
    const machine = await join(at, { max_concurrency: 1 });
    machine.heartbeat({ accepting: false });
    await until(async () => (await poolOf(at).report(4)).machines[0]?.blockedBy === "not_accepting");
    await sleep(at);
    machine.close();
    await until(async () => (await rowsOf(poolOf(at), "SELECT * FROM connected_machines")).length === 0);
    // It had said goodbye, so nobody waits for it.
    expect((await errorOf(await chat(at))).code).toBe("model_unavailable");
  });

  /** A machine that takes no more work, and whose socket has closed with this code. */
  async function gone(at: Scene, code: number, isAsleep: boolean): Promise<string> {
    const machine = await join(at);
    machine.heartbeat({ accepting: false });
    await until(async () => (await poolOf(at).report(4)).machines[0]?.blockedBy === "not_accepting");
    if (isAsleep) await sleep(at);
    machine.close(code);
    await until(async () => (await rowsOf(poolOf(at), "SELECT * FROM connected_machines")).length === 0);
    return machine.machineId;
  }

  async function hasLeft(machineId: string): Promise<boolean> {
    const [row] = await rowsOf(fleet(), "SELECT left_at FROM machines WHERE machine_id = ?", machineId);
    return typeof row?.["left_at"] === "number";
  }

  it.each([
    [1000, false],
    [1001, true],
  ])(
    "tells the fleet that a machine has left in order, by close code %i, until it is back",
    async (code, isAsleep) => {
      const at = await scene();
      const machineId = await gone(at, code, isAsleep);
      await until(() => hasLeft(machineId));
      await join(at, {}, machineId);
      expect(await hasLeft(machineId)).toBe(false);
    },
  );

  it("does not tell so of one whose socket was lost", async () => {
    const at = await scene();
    const machineId = await gone(at, 4999, true);
    // What the pool tells unasked goes out before this answer.
    await poolOf(at).report(4);
    expect(await hasLeft(machineId)).toBe(false);
  });

  it("waits for a machine whose socket was lost meanwhile as for any that is lost", async () => {
    const at = await scene();
    const machine = await join(at);
    await sleep(at);
    machine.close(4999);
    await until(async () => (await rowsOf(poolOf(at), "SELECT * FROM connected_machines")).length === 0);
    const pending = chat(at, { stream: true });
    await untilQueued(at, 1);
    const back = await join(at, {}, machine.machineId);
    back.answer(await back.next("inference_request"));
    expect(await (await pending).text()).toBe(HELLO);
  });

  it("[H11] still replaces the older socket of a machine by the newer", async () => {
    const at = await scene();
    const older = await join(at);
    await sleep(at);
    const newer = await join(at, {}, older.machineId);
    expect((await older.closed).code).toBe(4001);
    await sleep(at);
    await expectAnswer(at, newer);
  });

  it("still closes the sockets of a token that is revoked", async () => {
    const at = await scene();
    const machine = await join(at);
    await sleep(at);
    await adminCall("DELETE", `/provider-tokens/${at.tokenId}`);
    expect((await machine.closed).code).toBe(4005);
  });

  it("[H10] still announces a list of pools that has changed", async () => {
    const at = await scene();
    const later = unique("later");
    const machine = await connect(at);
    machine.send(registerMessage(machine.machineId, [at.model, later]));
    await machine.next("registered");
    await sleep(at);
    await addToCatalog(catalogEntry(later));
    expect(await machine.next("registered")).toMatchObject({ pools: [at.model, later] });
  });

  it("goes on counting as served what is slower than usual, and fast enough for its model", async () => {
    const at = await scene({ decode_floor_tps: 5 });
    const machine = await join(at);
    // Whoever looks at a pool tells it.
    await adminCall("GET", "/utilization");
    await sleep(at);
    const pending = chat(at, { stream: true });
    const request = await machine.next("inference_request");
    machine.accept(request);
    machine.bytes(request, HELLO);
    machine.complete(request, { completion_tokens: 20, decode_ms: 1900 });
    expect(await (await pending).text()).toBe(HELLO);
    expect((await poolOf(at).report(4)).demand).toMatchObject({ answered: 1, good: 1 });
  });

  it("stays awake while a request is open", async () => {
    const at = await scene();
    await stopClock();
    const machine = await join(at);
    const pending = chat(at, { stream: true });
    const request = await machine.next("inference_request");
    const asleep = evictDurableObject(poolOf(at));
    machine.answer(request);
    expect(await (await pending).text()).toBe(HELLO);
    await asleep;
    await expectAnswer(at, machine);
  });

  it("wakes a few of its machines for a request, and hears all of them", async () => {
    const at = await scene();
    const machines: FakeProvider[] = [];
    while (machines.length < 560) {
      machines.push(...(await Promise.all(Array.from({ length: 16 }, () => join(at)))));
    }
    // Or its next tick might wake them all.
    await stopClock();
    await sleep(at);
    const pending = chat(at, { stream: true });
    const { machine, request } = await Promise.race(
      machines.map(async (each) => ({ machine: each, request: await each.next("inference_request") })),
    );
    machine.answer(request);
    const newcomers = await Promise.all(Array.from({ length: 16 }, () => connect(at)));
    for (const each of newcomers) each.send(registerMessage(each.machineId, [at.model]));
    // Whether a socket sleeps on, was woken or is new, it is heard.
    for (const each of machines) each.heartbeat({ loaded_models: [at.model], accepting: false });
    await Promise.all(newcomers.map((each) => each.next("registered")));
    // Nobody is taken for one that never registered.
    await advanceClock(poolOf(at), REGISTER_TIMEOUT_MS + 2000);
    for (const each of newcomers) each.heartbeat({ loaded_models: [at.model], accepting: false });
    expect(await (await pending).text()).toBe(HELLO);
    await until(async () => {
      const { machines: known } = await poolOf(at).report(4);
      return known.filter(({ blockedBy }) => blockedBy === "not_accepting").length === 576;
    });
  });

  it("wakes with the greatest register it may have to remember", async () => {
    const at = await scene();
    const ids = Array.from({ length: 63 }, (_, index) => `model-${index}`.padEnd(128, "x"));
    const machine = await join(at, { loaded_models: [at.model, ...ids], session_id: "é".repeat(128) });
    await sleep(at);
    await expectAnswer(at, machine);
  });
});

describe("a fleet that sleeps", () => {
  it("[H22] between two dials forgets neither owner nor key", async () => {
    const at = await scene();
    const machine = await join(at);
    await evictDurableObject(fleet());
    const thief = await connect(at, machine.machineId);
    thief.send(registerMessage(machine.machineId, [at.model], { public_key: "another" }));
    expect((await thief.closed).code).toBe(4007);
    await expectAnswer(at, machine);
  });

  it("[H22] between dial and register decides the register as if it had not", async () => {
    const at = await scene();
    const machine = await connect(at);
    await evictDurableObject(fleet());
    machine.send(registerMessage(machine.machineId, [at.model]));
    await machine.next("registered");
  });

  it("[H22] forgets no revocation", async () => {
    const at = await scene();
    const machine = await connect(at);
    await rowsOf(fleet(), "INSERT INTO revoked_tokens VALUES (?, 0)", at.tokenId);
    await evictDurableObject(fleet());
    machine.send(registerMessage(machine.machineId, [at.model]));
    expect((await machine.closed).code).toBe(4005);
  });
});

it("an object's tables are made once, however often it wakes", async () => {
  const at = await scene();
  await join(at);
  const migrations = () => rowsOf(poolOf(at), "SELECT id FROM migrations ORDER BY id");
  const before = await migrations();
  await sleep(at);
  expect(await migrations()).toEqual(before);
  expect(before.length).toBeGreaterThan(0);
  await runInDurableObject(fleet(), (_, state) => {
    const { n } = state.storage.sql.exec("SELECT COUNT(*) AS n FROM migrations").one();
    expect(n).toBe(FLEET_MIGRATIONS.length);
  });
});
