import { describe, expect, it } from "vitest";

import { ProviderSocket } from "../../durable-objects/provider-socket.ts";
import { connect, expectAnswer, HELLO, join, registerMessage } from "./fake-provider.ts";
import {
  addToCatalog,
  adminCall,
  advanceClock,
  catalogEntry,
  chat,
  fleet,
  newToken,
  poolOf,
  resetObject,
  rowsOf,
  scene,
  setFlag,
  stopClock,
  unique,
  withBrokenFleet,
  type Scene,
} from "./scene.ts";

describe("a provider that closes its socket", () => {
  it.each([1000, 1001, 3001, 4999])("with %d gets its close frame answered with the same", async (code) => {
    const machine = await join(await scene());
    machine.close(code);
    expect((await machine.closed).code).toBe(code);
  });

  it("gets an answer before it has registered, too", async () => {
    const machine = await connect(await scene());
    machine.close();
    expect((await machine.closed).code).toBe(1000);
  });
});

it("a socket is closed once, with as much of the reason as a close frame holds, and takes nothing after that", async () => {
  const { 0: client, 1: server } = new WebSocketPair();
  const texts: unknown[] = [];
  client.addEventListener("message", ({ data }) => texts.push(data));
  const closed = new Promise((resolve) => {
    client.addEventListener("close", ({ code, reason }) => resolve({ code, reason }));
  });
  client.accept();
  server.accept();
  // The state is asked for pongs alone.
  const socket = new ProviderSocket({} as DurableObjectState, server);
  socket.send("before");
  socket.close("badMessage", `é${"x".repeat(500)}`);
  socket.close("superseded");
  socket.send("after");
  expect(await closed).toEqual({ code: 4000, reason: `?${"x".repeat(119)}` });
  expect(texts).toEqual(["before"]);
});

describe("a register", () => {
  it.each<[string, (at: Scene, machineId: string) => string | Uint8Array<ArrayBuffer>]>([
    ["that is no JSON", () => "register me"],
    ["that lacks its fields", () => '{"type":"register"}'],
    ["of another machine than dialed", (at) => JSON.stringify(registerMessage("mac-other", [at.model]))],
    [
      "above 256 KiB",
      (at, id) => JSON.stringify(registerMessage(id, [at.model], { filler: "x".repeat(256 * 1024) })),
    ],
    ["that is not the first frame", () => '{"type":"inference_accepted","request_id":"r","stream":0}'],
    ["that comes after bytes", () => new Uint8Array(8)],
  ])("%s closes the socket with 4000", async (_, frameOf) => {
    const at = await scene();
    const machine = await connect(at);
    const frame = frameOf(at, machine.machineId);
    if (typeof frame === "string") machine.sendText(frame);
    else machine.sendBinary(frame);
    expect((await machine.closed).code).toBe(4000);
    expect(await rowsOf(fleet(), "SELECT 1 FROM machines WHERE machine_id = ?", machine.machineId)).toEqual(
      [],
    );
  });

  it("that comes twice closes the socket with 4000", async () => {
    const at = await scene();
    const machine = await join(at);
    machine.send(registerMessage(machine.machineId, [at.model]));
    expect((await machine.closed).code).toBe(4000);
  });

  it("that does not come within 10 s closes the socket with 4003, and one that came does not", async () => {
    const at = await scene();
    await stopClock();
    const silent = await connect(at);
    const other = await join(at);
    await advanceClock(poolOf(at), 10_300);
    expect((await silent.closed).code).toBe(4003);
    await other.hasHeardAll(at);
  });

  it("of the greatest size that the schema allows is admitted", async () => {
    const at = await scene();
    const machine = await connect(at);
    const ids = Array.from({ length: 64 }, (_, index) => `model-${index}`.padEnd(128, "x"));
    machine.send(
      registerMessage(machine.machineId, [at.model, ...ids.slice(1)], {
        loaded_models: [at.model, ...ids.slice(1)],
        session_id: "é".repeat(128),
        version: "é".repeat(256),
        public_key: "k".repeat(1024),
      }),
    );
    expect(await machine.next("registered")).toMatchObject({ pools: [at.model] });
    await expectAnswer(at, machine);
  });

  it("needs no other socket for a model that has come to the disk: an offer tells of it while a stream runs", async () => {
    const at = await scene();
    const other = await scene();
    const machine = await join(at);
    const pending = chat(at, { stream: true });
    const request = await machine.next("inference_request");
    machine.accept(request);
    machine.bytes(request, 'data: {"half":1}\n\n');
    machine.send({ ...registerMessage(machine.machineId, [at.model, other.model]), type: "offer" });
    expect(await machine.next("registered")).toMatchObject({ pools: [at.model, other.model] });
    machine.finish(request);
    expect(await (await pending).text()).toContain("[DONE]");
    const { models } = await adminCall<{ models: string[] }>("GET", `/machines/${machine.machineId}`);
    expect(models.toSorted()).toEqual([at.model, other.model].toSorted());
  });

  it("[H10] is answered with every pool the machine should be in, each once", async () => {
    const at = await scene();
    const other = await scene();
    const machine = await connect(at);
    machine.send(registerMessage(machine.machineId, [at.model, other.model, at.model, "not-in-the-catalog"]));
    expect(await machine.next("registered")).toEqual({
      type: "registered",
      machine_id: machine.machineId,
      pool: at.model,
      pools: [at.model, other.model],
      assignment: { model_id: null, epoch: 0, drain_ms: 30_000, load_ms: 180_000 },
      heartbeat_ms: 60_000,
      flush_ms: 40,
      takes_offers: true,
    });
  });

  it("makes the machine's socket in another pool no older than it was", async () => {
    const at = await scene();
    const other = await scene();
    const machine = await join(at);
    const elsewhere = await join({ ...other, token: at.token }, {}, machine.machineId);
    await expectAnswer(at, machine);
    await expectAnswer(other, elsewhere);
  });
});

describe("[H22] a machine id", () => {
  it("is bound to the key of its first register: another closes with 4007 and harms nobody", async () => {
    const at = await scene();
    const machine = await join(at);
    const pending = chat(at);
    const request = await machine.next("inference_request");
    const thief = await connect(at, machine.machineId);
    thief.send(registerMessage(machine.machineId, [at.model], { public_key: "another" }));
    expect((await thief.closed).code).toBe(4007);
    machine.answer(request, "{}");
    expect((await pending).status).toBe(200);
    await expectAnswer(at, machine);
  });

  it("is bound to the owner of its first register, whoever dialed first", async () => {
    const at = await scene();
    const machineId = unique("mac");
    const { token } = await newToken("rival");
    const rival = await connect(at, machineId, token);
    const machine = await join(at, {}, machineId);
    rival.send(registerMessage(machineId, [at.model]));
    expect((await rival.closed).code).toBe(4005);
    await expectAnswer(at, machine);
  });

  it("is not bound by a dial alone", async () => {
    const at = await scene();
    const machineId = unique("mac");
    const { token } = await newToken("rival");
    await connect(at, machineId, token);
    await join(at, {}, machineId);
  });
});

describe("[H11] a newer socket of the same machine", () => {
  it("closes the older one with 4001 once it has registered, not before", async () => {
    const at = await scene();
    const older = await join(at);
    const newer = await connect(at, older.machineId);
    await expectAnswer(at, older);
    newer.send(registerMessage(older.machineId, [at.model]));
    expect((await older.closed).code).toBe(4001);
    await newer.next("registered");
    await expectAnswer(at, newer);
    expect((await poolOf(at).report(4)).machines).toHaveLength(1);
  });

  it("takes over the requests that had no byte", async () => {
    const at = await scene();
    const older = await join(at);
    const pending = chat(at, { stream: true });
    const request = await older.next("inference_request");
    older.accept(request);
    const newer = await join(at, {}, older.machineId);
    const again = await newer.next("inference_request");
    expect(again["request_id"]).toBe(request["request_id"]);
    newer.answer(again);
    expect(await (await pending).text()).toBe(HELLO);
  });
});

it("a register of an earlier start of the program is closed with 1012, if the fleet remembers the later one", async () => {
  const at = await scene();
  const other = { ...(await scene()), token: at.token };
  await stopClock();
  const machineId = unique("mac");
  const [earlier, forgotten] = [await connect(at, machineId), await connect(at, machineId)];
  await advanceClock(poolOf(at), 10);
  await join(other, { session_id: "later" }, machineId);
  earlier.send(registerMessage(machineId, [at.model]));
  expect((await earlier.closed).code).toBe(1012);
  await resetObject(fleet());
  forgotten.send(registerMessage(machineId, [at.model]));
  await forgotten.next("registered");
});

describe("a revoked token", () => {
  it("closes its sockets with 4005 at once, registered or not, in every pool, and no others", async () => {
    const at = await scene();
    const other = { ...(await scene()), token: at.token };
    const { token: spared } = await newToken("acme");
    const machines = [await join(at), await connect(at), await join(other)];
    const stranger = await connect(at, unique("mac"), spared);
    await adminCall("DELETE", `/provider-tokens/${at.tokenId}`);
    for (const machine of machines) expect((await machine.closed).code).toBe(4005);
    stranger.send(registerMessage(stranger.machineId, [at.model]));
    await stranger.next("registered");
  });

  it("[H22] turns away a register that was on its way", async () => {
    const at = await scene();
    const machine = await connect(at);
    // The pool has not heard of it, only the fleet has.
    await rowsOf(fleet(), "INSERT INTO revoked_tokens VALUES (?, 0)", at.tokenId);
    machine.send(registerMessage(machine.machineId, [at.model]));
    expect((await machine.closed).code).toBe(4005);
  });

  it("can be revoked again if the first time broke half way", async () => {
    const at = await scene();
    const machine = await join(at);
    await withBrokenFleet(async () => {
      await expect(adminCall("DELETE", `/provider-tokens/${at.tokenId}`)).rejects.toThrow("500");
    });
    await adminCall("DELETE", `/provider-tokens/${at.tokenId}`);
    expect((await machine.closed).code).toBe(4005);
  });
});

it("a provider that has become too old is closed with 4006 once it is idle, and no other", async () => {
  const at = await scene();
  const old = await join(at, { version: "0.6.19" });
  const pending = chat(at, { stream: true });
  const running = await old.next("inference_request");
  old.accept(running);
  old.bytes(running, "data: begun\n\n");
  const response = await pending;
  const [nameless, other] = [await join(at, { version: undefined }), await join(at, { version: "0.6.20" })];
  await setFlag("min_provider_version", "0.6.20");
  try {
    expect((await nameless.closed).code).toBe(4006);
    old.heartbeat({ running: 1 });
    for (let request = 0; request < 3; request++) await expectAnswer(at, other);
    const { explanation } = await adminCall<{ explanation: { gate: string } }>(
      "GET",
      `/machines/${old.machineId}`,
    );
    expect(explanation.gate).toBe("outdated");
    const again = await connect(at, old.machineId);
    again.send(registerMessage(old.machineId, [at.model], { version: "0.6.19" }));
    expect((await again.closed).code).toBe(4006);
    old.bytes(running, "data: ended\n\n");
    old.finish(running);
    expect(await response.text()).toBe("data: begun\n\ndata: ended\n\ndata: [DONE]\n\n");
    expect((await old.closed).code).toBe(4006);
  } finally {
    await setFlag("min_provider_version", "none");
  }
});

describe("a machine's list of pools", () => {
  it("[H10] is sent anew when the catalog gains a model of the machine's", async () => {
    const at = await scene();
    const later = unique("later");
    const machine = await connect(at);
    machine.send(registerMessage(machine.machineId, [at.model, later]));
    expect(await machine.next("registered")).toMatchObject({ pools: [at.model] });
    await addToCatalog(catalogEntry(later));
    expect(await machine.next("registered")).toMatchObject({ pool: at.model, pools: [at.model, later] });
  });

  it("[H10] is sent anew when the catalog loses a model, to all its sockets and to no other machine", async () => {
    const at = await scene();
    const other = { ...(await scene()), token: at.token };
    const machine = await connect(at);
    const both = [at.model, other.model];
    machine.send(registerMessage(machine.machineId, both));
    expect(await machine.next("registered")).toMatchObject({ pools: both });
    const elsewhere = await connect(other, machine.machineId);
    elsewhere.send(registerMessage(machine.machineId, both));
    expect(await elsewhere.next("registered")).toMatchObject({ pools: both });
    const neighbour = await join(at);
    const entries = await adminCall<{ id: string }[]>("GET", "/catalog");
    await adminCall(
      "PUT",
      "/catalog",
      entries.filter(({ id }) => id !== other.model),
    );
    expect(await machine.next("registered")).toMatchObject({ pool: at.model, pools: [at.model] });
    expect(await elsewhere.next("registered")).toMatchObject({ pool: other.model, pools: [at.model] });
    await neighbour.hasHeardAll(at);
    expect(neighbour.unread).toEqual([]);
  });
});
