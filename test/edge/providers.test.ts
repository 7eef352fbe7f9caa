import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { describe, expect, it } from "vitest";

import {
  adminCall,
  catalogEntry,
  chat,
  connect,
  dial,
  type FakeProvider,
  join,
  registerMessage,
  scene,
  testEnv,
  unique,
  type Scene,
} from "./fake-provider.ts";

const poolOf = (at: Scene) => testEnv.MODEL_POOL.getByName(at.model);
const fleet = () => testEnv.FLEET.getByName("fleet");

describe("a register", () => {
  it.each([
    ["that does not parse", (): string => '{"type":"register"}'],
    [
      "of another machine than dialed",
      (at: Scene): string => JSON.stringify(registerMessage("mac-other", [at.model])),
    ],
    [
      "that is not the first frame",
      (): string => '{"type":"inference_accepted","request_id":"r","stream":0}',
    ],
  ])("%s closes the socket with 4000", async (_, textOf) => {
    const at = await scene();
    const machine = await connect(at);
    machine.sendText(textOf(at));
    expect(await machine.closed).toMatchObject({ code: 4000 });
  });

  it("that comes twice closes the socket with 4000", async () => {
    const at = await scene();
    const machine = await join(at);
    machine.send(registerMessage(machine.machineId, [at.model]));
    expect((await machine.closed).code).toBe(4000);
  });

  it("[H22] with another key closes with 4007 and leaves the machine alone", async () => {
    const at = await scene();
    const machine = await join(at);
    const thief = await connect(at, machine.machineId);
    thief.send(registerMessage(machine.machineId, [at.model], { public_key: "another" }));
    expect((await thief.closed).code).toBe(4007);
    await expectAnswer(at, machine);
  });

  it("[H22] binds the machine to its first owner", async () => {
    const at = await scene();
    const machine = await join(at);
    const { token } = await adminCall<{ token: string }>("POST", "/provider-tokens", {
      owner: "rival",
      name: "n",
    });
    const response = await dial(token, `machine=${machine.machineId}&pool=${at.model}`);
    expect(response.status).toBe(403);
    expect(await response.json()).toMatchObject({ error: { code: "machine_not_allowed" } });
  });

  it("[H11] of the same machine closes its older socket with 4001", async () => {
    const at = await scene();
    const older = await join(at);
    const newer = await join(at, {}, older.machineId);
    expect((await older.closed).code).toBe(4001);
    await expectAnswer(at, newer);
  });

  it("is answered with every pool the machine should be in", async () => {
    const at = await scene();
    const other = await scene();
    const machine = await connect(at);
    machine.send(registerMessage(machine.machineId, [at.model, other.model, "not-in-the-catalog"]));
    expect(await machine.next("registered")).toMatchObject({
      pool: at.model,
      pools: [at.model, other.model],
      assignment: { model_id: null, epoch: 0, drain_ms: 30_000, load_ms: 180_000 },
      heartbeat_ms: 60_000,
      flush_ms: 40,
    });
  });

  it("[H10] is followed by a new list when the catalog gains a model of the machine's", async () => {
    const at = await scene();
    const later = unique("later");
    const machine = await connect(at);
    machine.send(registerMessage(machine.machineId, [at.model, later]));
    expect(await machine.next("registered")).toMatchObject({ pools: [at.model] });
    const entries = await adminCall<object[]>("GET", "/catalog");
    await adminCall("PUT", "/catalog", [...entries, catalogEntry(later)]);
    expect(await machine.next("registered")).toMatchObject({ pools: [at.model, later] });
  });
});

it("a revoked token closes its sockets with 4005 and dials no more", async () => {
  const at = await scene();
  const machine = await join(at);
  await adminCall("DELETE", `/provider-tokens/${at.tokenId}`);
  expect((await machine.closed).code).toBe(4005);
  const again = await dial(at.token, `machine=${machine.machineId}&pool=${at.model}`);
  expect([401, 403]).toContain(again.status);
});

describe("hibernation", () => {
  it("between register and request loses nothing", async () => {
    const at = await scene();
    const machine = await join(at);
    await evictDurableObject(poolOf(at));
    await expectAnswer(at, machine);
  });

  it("does not keep a ping from being answered", async () => {
    const at = await scene();
    const machine = await join(at);
    await evictDurableObject(poolOf(at));
    machine.sendText("ping");
    await machine.ponged;
    // Nobody was woken for it.
    await expect(evictDurableObject(poolOf(at))).rejects.toThrow("not currently running");
    await expectAnswer(at, machine);
  });

  it("between two requests never repeats a stream number", async () => {
    const at = await scene();
    const machine = await join(at);
    const first = await expectAnswer(at, machine);
    // Writes the counters; until then the pool stays awake for them.
    await adminCall("GET", "/usage");
    await evictDurableObject(poolOf(at));
    const second = await expectAnswer(at, machine);
    expect(second).toBeGreaterThan(first);
  });

  it("of the fleet between two dials forgets neither owner nor key", async () => {
    const at = await scene();
    const machine = await join(at);
    await evictDurableObject(fleet());
    const thief = await connect(at, machine.machineId);
    thief.send(registerMessage(machine.machineId, [at.model], { public_key: "another" }));
    expect((await thief.closed).code).toBe(4007);
  });

  it("after a heartbeat keeps what it said", async () => {
    const at = await scene();
    const machine = await join(at);
    machine.heartbeat({ loaded_models: [at.model], accepting: false });
    await expectRoutable(at, "not_accepting");
    await evictDurableObject(poolOf(at));
    await expectRoutable(at, "not_accepting");
    expect((await chat(at)).status).toBe(503);
  });
});

describe("trouble", () => {
  it("before the first byte moves the request to another machine", async () => {
    const at = await scene();
    const machines = [await join(at), await join(at)];
    const pending = chat(at, { stream: true });
    const asked = machines.map((machine) => machine.next("inference_request"));
    const first = await Promise.race(asked.map(async (request, index) => (await request, index)));
    machines[first]?.close();
    const second = machines[1 - first];
    const request = await asked[1 - first];
    if (second === undefined || request === undefined) throw new Error("there are two machines");
    answer(second, request);
    expect(await (await pending).text()).toBe("data: hello\n\n");
  });

  it("after the first byte ends the stream with an error event and no [DONE]", async () => {
    const at = await scene();
    const machine = await join(at);
    const pending = chat(at, { stream: true });
    const request = await machine.next("inference_request");
    machine.accept(request);
    machine.bytes(request["stream"], "data: half\n\n");
    const response = await pending;
    machine.error(request, "fault", "engine_crashed");
    const text = await response.text();
    expect(text).toMatch(/^data: half\n\ndata: \{"error":\{.*"code":"provider_error".*\}\}\n\n$/);
  });

  it("[F7] a client that goes away is told to the machine", async () => {
    const at = await scene();
    const machine = await join(at);
    const pending = chat(at, { stream: true });
    const request = await machine.next("inference_request");
    machine.accept(request);
    machine.bytes(request["stream"], "data: one\n\n");
    const response = await pending;
    await response.body?.cancel();
    expect(await machine.next("cancel")).toMatchObject({
      stream: request["stream"],
      request_id: request["request_id"],
    });
  });

  it("[H18] a pool object that is reset before it has answered gets the request again under the same id", async () => {
    const at = await scene();
    const machine = await join(at);
    const pending = chat(at);
    const request = await machine.next("inference_request");
    await runInDurableObject(poolOf(at), (_, state) => state.abort("reset by the test")).catch(
      () => undefined,
    );
    await machine.closed;
    const back = await join(at, {}, machine.machineId);
    const again = await back.next("inference_request");
    expect(again["request_id"]).toBe(request["request_id"]);
    answer(back, again);
    expect((await pending).status).toBe(200);
  });

  it("a machine that has left is forgotten by the fleet's tick, one that is here is not", async () => {
    const at = await scene();
    const machine = await join(at);
    await runInDurableObject(fleet(), (_, state) => {
      state.storage.sql.exec("UPDATE memberships SET dialed_at = 0");
    });
    await runDurableObjectAlarm(fleet());
    expect(await membershipsOf(at)).toEqual([machine.machineId]);
    machine.close();
    while ((await poolOf(at).report(4)).machines.length > 0) await scheduler.wait(5);
    await runDurableObjectAlarm(fleet());
    expect(await membershipsOf(at)).toEqual([]);
  });
});

it("counts what was asked without writing on the way", async () => {
  const at = await scene();
  const machine = await join(at);
  const changes = (): Promise<number> =>
    runInDurableObject(poolOf(at), (_, state) =>
      Number(state.storage.sql.exec("SELECT total_changes() AS n").one()["n"]),
    );
  const before = await changes();
  for (let i = 0; i < 5; i++) await expectAnswer(at, machine);
  expect(await changes()).toBe(before);
  const { usage } = await adminCall<{ usage: Record<string, unknown>[] }>("GET", "/usage");
  expect(usage.filter((row) => row["model_id"] === at.model)).toMatchObject([
    { outcome: "ok", requests: 5, prompt_tokens: 35, completion_tokens: 15, cached_tokens: 5 },
  ]);
  expect(await changes()).toBeGreaterThan(before);
});

async function membershipsOf(at: Scene): Promise<unknown[]> {
  return runInDurableObject(fleet(), (_, state) =>
    state.storage.sql
      .exec("SELECT machine_id FROM memberships WHERE pool = ?", at.model)
      .toArray()
      .map((row) => row["machine_id"]),
  );
}

async function expectRoutable(at: Scene, blockedBy: string | null): Promise<void> {
  for (;;) {
    const report = await poolOf(at).report(4);
    if (report.machines[0]?.blockedBy === blockedBy) return;
    await scheduler.wait(5);
  }
}

function answer(machine: FakeProvider, request: Record<string, unknown> & { type: string }): void {
  machine.accept(request);
  machine.bytes(request["stream"], "data: hello\n\n");
  machine.complete(request);
}

/** Sends one chat that the machine answers; returns the stream number it came under. */
async function expectAnswer(at: Scene, machine: FakeProvider): Promise<number> {
  const pending = chat(at, { stream: true });
  const request = await machine.next("inference_request");
  answer(machine, request);
  expect(await (await pending).text()).toBe("data: hello\n\n");
  return Number(request["stream"]);
}
