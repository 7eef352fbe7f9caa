import { runInDurableObject } from "cloudflare:test";
import { describe, expect, it, vi } from "vitest";

import type { Utilization } from "../../core/fleet/utilization.ts";
import { connect, dial, expectAnswer, type FakeProvider, join, registerMessage } from "./fake-provider.ts";
import {
  addToCatalog,
  adminCall,
  callAdmin,
  catalogEntry,
  chat,
  errorOf,
  fetchEdge,
  fleet,
  newToken,
  rowsOf,
  scene,
  stopClock,
  testEnv,
  unique,
  until,
  untilEmpty,
  withBrokenFleet,
} from "./scene.ts";

const membershipsOf = (machineId: string) =>
  rowsOf(fleet(), "SELECT pool FROM memberships WHERE machine_id = ? ORDER BY pool", machineId);

describe("a dial is refused", () => {
  const good = "machine=mac-1&pool=POOL";

  it.each<[string, Record<string, string>, string, number, string, string | null]>([
    ["without an upgrade", { upgrade: "" }, good, 426, "upgrade_required", null],
    ["that upgrades to something else", { upgrade: "h2c" }, good, 426, "upgrade_required", null],
    ["with another protocol", { "sec-websocket-protocol": "v9" }, good, 400, "unsupported_protocol", null],
    ["with no protocol", { "sec-websocket-protocol": "" }, good, 400, "unsupported_protocol", null],
    ["without a token", { authorization: "" }, good, 401, "invalid_provider_token", null],
    ["with nonsense for a token", { authorization: "Bearer x" }, good, 401, "invalid_provider_token", null],
    ["without a machine id", {}, "pool=POOL", 400, "invalid_request", "machine"],
    ["with a bad machine id", {}, "machine=A&pool=POOL", 400, "invalid_request", "machine"],
    ["to an unknown pool", {}, "machine=mac-1&pool=none", 404, "model_not_found", "pool"],
    ["to a pool of nothing", {}, "machine=mac-1&pool=", 404, "model_not_found", "pool"],
    ["of a new machine that names no pool", {}, "machine=mac-new", 404, "model_not_found", "pool"],
  ])("%s", async (_, headers, query, status, code, param) => {
    const at = await scene();
    const response = await dial(at.token, query.replace("POOL", at.model), headers);
    expect(response.webSocket).toBeNull();
    expect(response.headers.get("x-request-id")).toMatch(/^req_/);
    expect(await errorOf(response)).toMatchObject({ status, code, param });
    expect(await rowsOf(fleet(), "SELECT 1 FROM memberships WHERE pool = ?", at.model)).toEqual([]);
  });

  it("[H22] with a token that was deleted", async () => {
    const at = await scene();
    expect(await adminCall("DELETE", `/provider-tokens/${at.tokenId}`)).toEqual({
      id: at.tokenId,
      deleted: true,
      machines: [],
    });
    const address = `machine=mac-1&pool=${at.model}`;
    const response = await dial(at.token, address);
    expect(await errorOf(response)).toMatchObject({ status: 403, code: "machine_not_allowed" });
    expect((await callAdmin("DELETE", `/provider-tokens/${at.tokenId}`)).status).toBe(404);
    // Its id alone, which is no secret, is an unknown token.
    const guessed = `${at.token.slice(0, -64)}${"0".repeat(64)}`;
    expect(await errorOf(await dial(guessed, address))).toMatchObject({
      status: 401,
      code: "invalid_provider_token",
    });
  });

  it("[H22] with the token of its machine, of which the fleet says so until it comes with another", async () => {
    const at = await scene();
    const machine = await join(at);
    const other = await join({ ...at, ...(await newToken("acme")) });
    expect(await adminCall("DELETE", `/provider-tokens/${at.tokenId}`)).toMatchObject({
      machines: [machine.machineId],
    });
    expect((await machine.closed).code).toBe(4005);
    const details = await adminCall<{ token_id: string }>("GET", `/machines/${machine.machineId}`);
    expect(details.token_id).toBe(at.tokenId);
    await expectAnswer(at, other);
    const { token } = await newToken("acme");
    const explained = await fetchEdge(`/v1/providers/explain?machine=${machine.machineId}`, {
      headers: { authorization: `Bearer ${token}` },
    });
    expect(await explained.json()).toMatchObject({
      state: "offline",
      gate: "token_revoked",
      fix: expect.stringContaining("new provider token"),
    });
    await join({ ...at, token }, {}, machine.machineId);
    expect(await adminCall("GET", `/machines/${machine.machineId}`)).toMatchObject({
      explanation: { gate: null },
    });
  });

  it("[H22] with a revoked token that KV still hands out", async () => {
    const at = await scene();
    const record = await testEnv.KEYS.get(`token:${at.tokenId}`);
    await adminCall("DELETE", `/provider-tokens/${at.tokenId}`);
    await testEnv.KEYS.put(`token:${at.tokenId}`, record ?? "");
    const response = await dial(at.token, `machine=mac-1&pool=${at.model}`);
    expect(await errorOf(response)).toMatchObject({ status: 403, code: "machine_not_allowed" });
  });

  it("[H22] under the id of another owner's machine", async () => {
    const at = await scene();
    const machine = await join(at);
    const { token } = await newToken("rival");
    const response = await dial(token, `machine=${machine.machineId}&pool=${at.model}`);
    expect(await errorOf(response)).toMatchObject({
      status: 403,
      code: "machine_not_allowed",
      type: "permission_error",
    });
  });

  it("when it is the 31st of its machine to its pool within a minute", async () => {
    const at = await scene();
    const machineId = unique("mac");
    await stopClock();
    for (let i = 0; i < 30; i++) await connect(at, machineId);
    const response = await dial(at.token, `machine=${machineId}&pool=${at.model}`);
    const seconds = Number(response.headers.get("retry-after"));
    expect(seconds).toBeGreaterThanOrEqual(1);
    expect(seconds).toBeLessThanOrEqual(60);
    expect(response.headers.get("x-pool-reason")).toBe("slow_down");
    expect(await errorOf(response)).toMatchObject({ status: 429, code: "slow_down" });
    await connect(at);
    vi.setSystemTime(Date.now() + seconds * 1000);
    await connect(at, machineId);
  });
});

describe("a dial is accepted", () => {
  it("with the protocol it offered, also as one of several", async () => {
    const at = await scene();
    const headers = { "sec-websocket-protocol": "other, poolkeeper.v1", upgrade: "WebSocket" };
    const response = await dial(at.token, `machine=${unique("mac")}&pool=${at.model}`, headers);
    expect(response.status).toBe(101);
    expect(response.headers.get("sec-websocket-protocol")).toBe("poolkeeper.v1");
  });

  it("[H1] only after the fleet has written down where its socket may be", async () => {
    const at = await scene();
    const machineId = unique("mac");
    await connect(at, machineId);
    expect(await membershipsOf(machineId)).toEqual([{ pool: at.model }]);
  });

  it("by an alias of the pool", async () => {
    const alias = unique("alias");
    const at = await scene({ aliases: [alias] });
    const machine = await connect({ ...at, model: alias });
    machine.send(registerMessage(machine.machineId, [at.model]));
    expect(await machine.next("registered")).toMatchObject({ pool: at.model });
  });

  it("without a pool if the machine has registered before: where it was, also in another pool", async () => {
    const at = await scene();
    const other = await scene();
    const machine = await connect(at);
    machine.send(registerMessage(machine.machineId, ["not-in-the-catalog", other.model, at.model]));
    await machine.next("registered");
    const response = await dial(at.token, `machine=${machine.machineId}`);
    expect(response.status).toBe(101);
    expect(await membershipsOf(machine.machineId)).toEqual(
      [at.model, other.model].sort().map((pool) => ({ pool })),
    );
  });

  it("without its credentials going any further than the Worker", async () => {
    const at = await scene();
    await connect(at);
    const everything = await rowsOf(fleet(), "SELECT * FROM memberships");
    const attachments = await runInDurableObject(testEnv.MODEL_POOL.getByName(at.model), (_, state) =>
      state.getWebSockets().map((socket) => JSON.stringify(socket.deserializeAttachment())),
    );
    expect(attachments).toHaveLength(1);
    expect(JSON.stringify([everything, attachments])).not.toContain(at.token.split("_")[2]);
  });
});

describe("[D11] while the fleet", () => {
  it("[H19] is broken, dials that name no pool are told to try again", async () => {
    const at = await scene();
    await withBrokenFleet(async () => {
      const response = await dial(at.token, "machine=mac-1");
      expect(response.headers.get("retry-after")).toBe("1");
      expect(await errorOf(response)).toMatchObject({ status: 503, code: "try_again" });
    });
    await connect(at);
  });

  it("[H19] is broken, a machine that names its pool waits there unroutable until it is back", async () => {
    const at = await scene();
    const machineId = unique("mac");
    let machine: FakeProvider | null = null;
    await withBrokenFleet(async () => {
      machine = await connect(at, machineId);
      machine.send(registerMessage(machineId, [at.model]));
      await untilEmpty(at);
      expect(await errorOf(await chat(at))).toMatchObject({ status: 503, code: "model_unavailable" });
    });
    expect(await (machine as FakeProvider | null)?.next("registered")).toMatchObject({ pool: at.model });
  });

  it("[H19] does not answer for 2 s, dials that name no pool are told to try again", async () => {
    const at = await scene();
    const { promise: released, resolve: release } = Promise.withResolvers<void>();
    const held = runInDurableObject(fleet(), (_, state) =>
      state.blockConcurrencyWhile(async () => {
        await released;
      }),
    );
    const response = await dial(at.token, "machine=mac-1");
    expect(response.headers.get("retry-after")).toBe("1");
    expect(await errorOf(response)).toMatchObject({ status: 503, code: "try_again" });
    release();
    await held;
    await connect(at);
  });

  it("is broken, pools serve on", async () => {
    const at = await scene();
    const machine = await join(at);
    await withBrokenFleet(async () => {
      await expectAnswer(at, machine);
    });
  });
});

describe("a machine whose model is in no catalog", () => {
  it("is shown to operators until the model is there, or another one takes it", async () => {
    const at = await scene();
    const [machine, other, model] = [unique("mac"), unique("mac"), unique("missing")];
    const shown = async (): Promise<unknown[]> => {
      const { model_pools } = await adminCall<Utilization>("GET", "/utilization");
      return model_pools.refused_dials.filter(({ model_id }) => model_id === model);
    };
    const knock = async (name: string): Promise<void> => {
      const response = await dial(at.token, `machine=${name}&pool=${model}`);
      expect(await errorOf(response)).toMatchObject({ status: 404, code: "model_not_found" });
      await until(async () =>
        (await shown()).some((row) => (row as { machine_id: string }).machine_id === name),
      );
    };
    await knock(machine);
    expect(await shown()).toEqual([
      { machine_id: machine, owner: "acme", model_id: model, at: expect.any(Number) },
    ]);
    await knock(other);
    await join(at, {}, other);
    expect(await shown()).toMatchObject([{ machine_id: machine }]);
    await addToCatalog(catalogEntry(model));
    expect(await shown()).toEqual([]);
  });

  it("hears so even if the fleet does not", async () => {
    const at = await scene();
    const warn = vi.spyOn(console, "warn").mockImplementation(() => undefined);
    await withBrokenFleet(async () => {
      const response = await dial(at.token, "machine=mac-1&pool=none");
      expect(await errorOf(response)).toMatchObject({ status: 404, code: "model_not_found" });
      const said = expect.objectContaining({ event: "fleet_unreachable", machineId: "mac-1" }) as unknown;
      await vi.waitFor(() => expect(warn).toHaveBeenCalledWith(said));
    });
  });
});
