import { runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { beforeEach, describe, expect, it } from "vitest";

import type { Fleet } from "../../durable-objects/fleet.ts";
import type { ModelPool } from "../../durable-objects/model-pool.ts";
import { assigned, assignedAndServing, type FakeProvider, HELLO, join } from "./fake-provider.ts";
import {
  addToCatalog,
  catalogEntry,
  chat,
  chatBody,
  errorOf,
  fetchEdge,
  fleet,
  newKey,
  newToken,
  poolOf,
  setFlag,
  unique,
  until,
  untilEmpty,
  untilQueued,
  type Scene,
} from "./scene.ts";

/** Requests that want their owner's machines. Each test has an owner of its own: what is known of one is kept 5 s. */

beforeEach(() => setFlag("assignment_gate", "on"));

/** A model of its own and the credentials of one owner. */
async function sceneOf(owner: string): Promise<Scene> {
  const model = unique("model");
  await addToCatalog(catalogEntry(model));
  const { key, id: keyId } = await newKey(owner);
  const { token, id: tokenId } = await newToken(owner);
  return { model, apiKey: key, keyId, token, tokenId };
}

function ask(at: Scene, route: string, fields: object = {}): Promise<Response> {
  return fetchEdge("/v1/chat/completions", {
    method: "POST",
    headers: { authorization: `Bearer ${at.apiKey}`, "x-pool-route": route },
    body: chatBody(at, { stream: true, ...fields }),
  });
}

async function expectServed(machine: FakeProvider, pending: Promise<Response>, bypass: boolean) {
  const request = await machine.next("inference_request");
  expect(request["owner_bypass"]).toBe(bypass);
  machine.answer(request);
  expect(await (await pending).text()).toBe(HELLO);
  return request;
}

/** The fleet cannot say where machines are while this runs. */
async function withSilentMachines(run: () => Promise<unknown>): Promise<void> {
  const silence = (isSilent: boolean) =>
    runInDurableObject<Fleet, void>(fleet(), (instance) => {
      if (!isSilent) Reflect.deleteProperty(instance, "machinesOf");
      else {
        Object.assign(instance, {
          machinesOf: () => {
            throw new Error("silenced by the test");
          },
        });
      }
    });
  await silence(true);
  try {
    await run();
  } finally {
    await silence(false);
  }
}

describe("x-pool-route: self", () => {
  it("[H21] reaches a private machine, which no public request does", async () => {
    const at = await sceneOf(unique("owner"));
    const machine = await join(at, { private_only: true });
    expect(await errorOf(await chat(at))).toMatchObject({ status: 503, code: "model_unavailable" });
    await expectServed(machine, ask(at, "self"), true);
  });

  it("[H21] never reaches the machine of somebody else", async () => {
    const at = await sceneOf(unique("owner"));
    const foreign = await join(at);
    const { key } = await newKey(unique("owner"));
    const refused = await errorOf(await ask({ ...at, apiKey: key }, "self"));
    expect(refused).toMatchObject({ status: 503, code: "machine_offline" });
    expect(refused.message).toContain("no machine of yours");
    await foreign.hasHeardAll(at);
    expect(foreign.unread).not.toContain("inference_request");
  });

  it("[H21] [F2] takes an assigned machine to another model, and public requests wait until it is back", async () => {
    const owner = unique("owner");
    const [a, b] = [await sceneOf(owner), await sceneOf(owner)];
    const machine = await assignedAndServing(a, b);
    const pending = ask(b, "self");
    const request = await machine.next("inference_request");
    expect(request).toMatchObject({ model_id: b.model, owner_bypass: true });
    expect(await errorOf(await chat(a))).toMatchObject({ status: 503 });
    machine.answer(request);
    await (await pending).text();
    const [view] = (await poolOf(a).report(4)).machines;
    expect(view?.blockedBy).toBe("owner_busy");
    machine.heartbeat({ loaded_models: [a.model], accepting: true });
    await expectServed(machine, chat(a, { stream: true }), false);
  });

  it("[H21] waits for its machine where there is no other", async () => {
    const at = await sceneOf(unique("owner"));
    const machine = await join(at, { max_concurrency: 1 });
    const running = ask(at, "self");
    const first = await machine.next("inference_request");
    const waiting = ask(at, "self");
    await untilQueued(at, 1);
    machine.answer(first);
    expect(await (await running).text()).toBe(HELLO);
    await expectServed(machine, waiting, true);
  });

  it("[H21] hears that none of its machines has the model, whatever else they have", async () => {
    const owner = unique("owner");
    const [a, b] = [await sceneOf(owner), await sceneOf(owner)];
    const machine = await join(a);
    const refused = await errorOf(await ask(b, "self"));
    expect(refused).toMatchObject({ status: 503, code: "machine_offline" });
    expect(refused.message).toBe(`no machine of yours has "${b.model}"`);
    await machine.hasHeardAll(a);
    expect(machine.unread).not.toContain("inference_request");
  });

  it("[H21] hears machine_busy while its machine is switched", async () => {
    const owner = unique("owner");
    const [a, b] = [await sceneOf(owner), await sceneOf(owner)];
    const { machine, epoch } = await assigned(a, b);
    for (const word of ["draining", "loading"]) {
      for (const at of [a, b]) {
        const response = await ask(at, "self");
        expect(response.headers.get("x-pool-reason")).toBe("machine_busy");
        expect(await errorOf(response)).toMatchObject({ status: 429, code: "machine_busy" });
      }
      machine.send({ type: "assign_model_status", model_id: a.model, epoch, status: word });
    }
  });

  it("[H21] asks each pool in which its machines are, first the one of its model, and waits in the last", async () => {
    const owner = unique("owner");
    const [a, b] = [await sceneOf(owner), await sceneOf(owner)];
    const elsewhere = await assignedAndServing(a, b);
    const here = await join(b, { max_concurrency: 1 });
    const running = ask(b, "self");
    const first = await here.next("inference_request");
    await expectServed(elsewhere, ask(b, "self"), true);
    here.answer(first);
    expect(await (await running).text()).toBe(HELLO);
    await expectServed(here, ask(b, "self"), true);
  });

  it("[H21] hears machine_offline when its machine is not connected", async () => {
    const at = await sceneOf(unique("owner"));
    const machine = await join(at);
    // As a machine that says goodbye, so that nobody waits for it.
    machine.heartbeat({ accepting: false });
    machine.close();
    await untilEmpty(at);
    expect(await errorOf(await ask(at, "self"))).toMatchObject({ status: 503, code: "machine_offline" });
  });

  it("[H21] hears try_again while the fleet does not answer", async () => {
    const at = await sceneOf(unique("owner"));
    await withSilentMachines(async () => {
      expect(await errorOf(await ask(at, "self"))).toMatchObject({ status: 503, code: "try_again" });
    });
  });
});

describe("x-pool-route: prefer", () => {
  it("[F10] uses a machine that serves another model rather than be refused by an empty pool", async () => {
    const owner = unique("owner");
    const [a, b] = [await sceneOf(owner), await sceneOf(owner)];
    const machine = await assignedAndServing(a, b);
    expect(await errorOf(await chat(b))).toMatchObject({ status: 503 });
    const request = await expectServed(machine, ask(b, "prefer"), true);
    expect(request["model_id"]).toBe(b.model);
  });

  it("[F10] goes from the owner's machine in the pool to one elsewhere before anybody waits", async () => {
    const owner = unique("owner");
    const [a, b] = [await sceneOf(owner), await sceneOf(owner)];
    const elsewhere = await assignedAndServing(a, b);
    const here = await join(b, { max_concurrency: 1 });
    const running = ask(b, "prefer");
    const first = await here.next("inference_request");
    await expectServed(elsewhere, ask(b, "prefer"), true);
    here.answer(first);
    expect(await (await running).text()).toBe(HELLO);
  });

  it("[F10] is a public request while its own machine cannot serve", async () => {
    const owner = unique("owner");
    const [a, b] = [await sceneOf(owner), await sceneOf(owner)];
    await assigned(a, b);
    expect(await errorOf(await ask(b, "prefer"))).toMatchObject({ status: 503, code: "model_unavailable" });
    const { token } = await newToken(unique("owner"));
    const foreign = await join({ ...b, token });
    await expectServed(foreign, ask(b, "prefer"), false);
  });

  it("[H21] is a public request if the owner has no machine, or the fleet does not answer", async () => {
    const at = await sceneOf(unique("owner"));
    const machine = await join(at);
    const { key } = await newKey(unique("owner"));
    await expectServed(machine, ask({ ...at, apiKey: key }, "prefer"), false);
    await withSilentMachines(() => expectServed(machine, ask(at, "prefer"), false));
  });
});

describe("GET /v1/providers/explain", () => {
  const explain = (token: string, machine: string) =>
    fetchEdge(`/v1/providers/explain?machine=${machine}`, { headers: { authorization: `Bearer ${token}` } });

  it("tells a machine why it gets no requests", async () => {
    const at = await sceneOf(unique("owner"));
    const { machineId } = await join(at, { private_only: true });
    const response = await explain(at.token, machineId);
    expect(await response.json()).toEqual({
      machine_id: machineId,
      state: "unmanaged",
      gate: "owner_private",
      why: "it serves its owner only",
      fix: expect.stringContaining("--private"),
      unmanaged_because: expect.stringContaining("owner only"),
      stays_because: null,
      useful_models: [],
      advice: null,
    });
  });

  it("tells a machine which model would be useful on it, once the fleet knows what is asked for", async () => {
    const at = await sceneOf(unique("owner"));
    const { machineId } = await join(at);
    const useful = async () => {
      const response = await explain(at.token, machineId);
      return (await response.json<{ useful_models: unknown[] }>()).useful_models;
    };
    await until(async () => {
      await runDurableObjectAlarm(fleet());
      return (await useful()).length > 0;
    });
    // Which of them that is depends on what the other tests have asked for.
    expect((await useful())[0]).toEqual({
      model_id: expect.any(String),
      on_disk: expect.any(Boolean),
      holds: expect.any(Boolean),
      requests_per_hour: expect.any(Number),
      obstacle: null,
    });
  });

  it("tells nothing about machines of others, nor without a token or a sane id", async () => {
    const at = await sceneOf(unique("owner"));
    const { machineId } = await join(at);
    const { token } = await newToken(unique("owner"));
    expect(await errorOf(await explain(token, machineId))).toMatchObject({ status: 404, code: "not_found" });
    expect(await errorOf(await explain(at.token, unique("mac")))).toMatchObject({ status: 404 });
    expect(await errorOf(await explain("pt_no", machineId))).toMatchObject({ status: 401 });
    expect(await errorOf(await explain(at.token, "X"))).toMatchObject({ status: 400, param: "machine" });
  });
});

describe("GET /v1/providers/usage", () => {
  const usage = (token: string, machine: string, query = "") =>
    fetchEdge(`/v1/providers/usage?machine=${machine}${query}`, {
      headers: { authorization: `Bearer ${token}` },
    });

  it("tells an owner what a machine has answered, by model and day, also what was just now", async () => {
    const owner = unique("owner");
    const at = await sceneOf(owner);
    const machine = await join(at);
    const { machineId } = machine;
    const empty = await usage(at.token, machineId);
    expect(await empty.json()).toEqual({ machine_id: machineId, usage: [] });
    for (let i = 0; i < 2; i++) {
      const pending = ask(at, "prefer");
      machine.answer(await machine.next("inference_request"));
      await (await pending).text();
    }
    // Owners may ask every second, and each of a thousand machines would have rows for it.
    await runInDurableObject<ModelPool, void>(poolOf(at), (pool, { storage }) => {
      const written = () => storage.sql.exec("SELECT * FROM machine_work").toArray();
      const before = written();
      expect(pool.workOf(machineId, owner, 0)).toHaveLength(1);
      expect(written()).toEqual(before);
    });
    const row = { model_id: at.model, day_at: expect.any(Number), requests: 2 };
    const tokens = { prompt_tokens: 14, completion_tokens: 6, cached_tokens: 2 };
    expect(await (await usage(at.token, machineId, "&days=35")).json()).toMatchObject({
      usage: [{ ...row, ...tokens }],
    });
    machine.close();
    expect((await usage(at.token, machineId)).status).toBe(200);
  });

  it("tells nobody else, and of no more days than are kept", async () => {
    const at = await sceneOf(unique("owner"));
    const { machineId } = await join(at);
    const { token } = await newToken(unique("owner"));
    expect(await errorOf(await usage(token, machineId))).toMatchObject({ status: 404, code: "not_found" });
    expect(await errorOf(await usage("pt_no", machineId))).toMatchObject({ status: 401 });
    expect(await errorOf(await usage(at.token, machineId, "&days=36"))).toMatchObject({ param: "days" });
  });
});

it("[H21] any other x-pool-route is refused", async () => {
  const at = await sceneOf(unique("owner"));
  for (const route of ["public", "SELF", ""]) {
    const refused = await errorOf(await ask(at, route));
    expect(refused).toMatchObject({ status: 400, code: "invalid_request", param: "x-pool-route" });
  }
});
