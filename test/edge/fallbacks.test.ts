import { describe, expect, it } from "vitest";

import { HELLO, join, type FakeProvider, type Message } from "./fake-provider.ts";
import {
  adminCall,
  chat,
  chatBody,
  errorOf,
  newKey,
  newToken,
  poolOf,
  scene,
  setFlag,
  unique,
  type Scene,
} from "./scene.ts";
import { twoModels } from "./two-models.ts";

/** Chats that name further models: the client's own list of where to go next, in its order. */

const modelOf = (response: Response): string | null => response.headers.get("x-pool-model");

async function arrivalsAt(at: Scene): Promise<number> {
  return (await poolOf(at).report(4)).demand.arrivals;
}

/** What the machine is asked, and what the client gets for it. */
async function served(machine: FakeProvider, pending: Promise<Response>): Promise<[Message, Response]> {
  const request = await machine.next("inference_request");
  machine.answer(request);
  const response = await pending;
  expect(response.status).toBe(200);
  expect(await response.text()).toBe(HELLO);
  return [request, response];
}

describe("a chat with models", () => {
  it("is answered by the first that has room, as the client wrote it", async () => {
    const { first, second } = await twoModels();
    const machine = await join(first);
    const fields = { models: [second.model], stream: true };
    const [request, response] = await served(machine, chat(first, fields));
    expect(request["body"]).toEqual(JSON.parse(chatBody(first, fields)));
    expect(modelOf(response)).toBe(first.model);
    expect(await arrivalsAt(second)).toBe(0);
  });

  it("is answered by the next if no machine serves the first, which counts it as demand all the same", async () => {
    const { first, second } = await twoModels();
    const machine = await join(second);
    const fields = { models: [second.model], stream: true, seed: 7 };
    const [request, response] = await served(machine, chat(first, fields));
    expect(request["body"]).toEqual(JSON.parse(chatBody(second, fields)));
    expect(modelOf(response)).toBe(second.model);
    expect([await arrivalsAt(first), await arrivalsAt(second)]).toEqual([1, 1]);
  });

  it("goes by aliases, and asks no model twice", async () => {
    const { first, second, alias } = await twoModels();
    const machine = await join(second);
    const fields = { models: [first.model, alias, second.model], stream: true };
    const [request, response] = await served(machine, chat(first, fields));
    expect(request["body"]).toMatchObject({ model: alias });
    expect(modelOf(response)).toBe(second.model);
    expect(await arrivalsAt(first)).toBe(1);
  });

  it("is refused, if all refuse, by the one that is to be asked again first", async () => {
    const { first, second } = await twoModels();
    await setFlag("shed_models", first.model);
    for (const [asked, other] of [
      [first, second],
      [second, first],
    ] as const) {
      const response = await chat(asked, { models: [other.model] });
      expect(modelOf(response)).toBe(second.model);
      expect(await errorOf(response)).toMatchObject({ status: 503, code: "model_unavailable" });
    }
    await setFlag("shed_models", "");
  });

  it("with a model that does not exist is refused before any is asked", async () => {
    const { first, second } = await twoModels();
    const response = await chat(first, { models: [second.model, "no-such"] });
    expect(await errorOf(response)).toMatchObject({
      status: 404,
      code: "model_not_found",
      param: "models[1]",
    });
    expect(await arrivalsAt(first)).toBe(0);
  });

  it.each([[["a", "b", "c", "d"]], ["model"], [[""]], [[7]]])("is 400 with %j", async (models) => {
    const { first } = await twoModels();
    expect(await errorOf(await chat(first, { models }))).toMatchObject({
      status: 400,
      param: expect.stringMatching(/^models/) as string,
    });
  });

  it("that a machine has failed is not taken elsewhere", async () => {
    const { first, second } = await twoModels();
    const [machine] = await Promise.all([join(first), join(second)]);
    const pending = chat(first, { models: [second.model] });
    const request = await machine.next("inference_request");
    machine.accept(request);
    machine.error(request, "client", "invalid_value");
    const response = await pending;
    expect(response.status).toBe(400);
    expect(await arrivalsAt(second)).toBe(0);
    await response.body?.cancel();
  });

  it("counts each model asked as a request of the key's limit, which no other model gets around", async () => {
    const { first, second } = await twoModels();
    await join(second);
    const limits = { owner: "acme", name: "limited", requests_per_minute: 1 };
    const { key } = await adminCall<{ key: string }>("POST", "/keys", limits);
    const response = await chat({ ...first, apiKey: key }, { models: [second.model] });
    expect(await errorOf(response)).toMatchObject({ status: 429, code: "rate_limited" });
    expect(await arrivalsAt(second)).toBe(0);
  });

  it("for its owner's machines goes from one to the other as well", async () => {
    const { first, second } = await twoModels();
    const owner = unique("owner");
    const machine = await join({ ...second, ...(await newToken(owner)) });
    const { key } = await newKey(owner);
    const fields = { models: [second.model], stream: true };
    const headers = { authorization: `Bearer ${key}`, "x-pool-route": "self" };
    const pending = chat(first, fields, { headers });
    const [request, response] = await served(machine, pending);
    expect(request["owner_bypass"]).toBe(true);
    expect(modelOf(response)).toBe(second.model);
  });
});

it("a chat without models is told nothing of a choice", async () => {
  const at = await scene();
  const machine = await join(at);
  const [, response] = await served(machine, chat(at, { stream: true }));
  expect(modelOf(response)).toBeNull();
});
