import { describe, expect, it } from "vitest";

import { ASK } from "../support/messages.ts";
import { CHAT, eventsOf } from "../support/translation.ts";
import { join, type FakeProvider, type Message } from "./fake-provider.ts";
import { clientOf, complete } from "./messages-scene.ts";
import { openaiOf } from "./openai-client.ts";
import { open, say } from "./responses-client.ts";
import { errorOf } from "./scene.ts";
import { post } from "./translation-scene.ts";
import { twoModels } from "./two-models.ts";

/** Further models in the APIs that are translated: the list means what it means in a chat, and the answer says whose it is. */

const APIS = [
  ["/v1/responses", { input: "hi" }],
  ["/v1/messages", ASK],
  ["/v1/completions", { prompt: "hi" }],
] as const;

/** The names of models in a stream, wherever an event of the API has them. */
function modelsIn(text: string): Set<unknown> {
  const events = eventsOf(text.replace("data: [DONE]", ""));
  const holders = events.map((event) => event["response"] ?? event["message"] ?? event);
  return new Set(holders.flatMap((holder) => (holder as { model?: string }).model ?? []));
}

/** What the second model's machine is asked when the first model has none, and what the client gets for it. */
async function answeredBySecond(
  pending: Promise<Response>,
  machine: FakeProvider,
  answer: (request: Message) => void,
): Promise<[Message, Response]> {
  const request = await machine.next("inference_request");
  answer(request);
  return [request, await pending];
}

describe.each(APIS)("%s with models", (path, ask) => {
  it("is answered by the next if the first has no machine, under the name that it was asked by", async () => {
    const { first, second, alias } = await twoModels();
    const machine = await join(second);
    const pending = post(first, { ...ask, models: [alias] }, path);
    const [request, response] = await answeredBySecond(pending, machine, (asked) =>
      complete(machine, asked, { content: "ho" }),
    );
    expect(request["body"]).toMatchObject({ model: alias, messages: [{ role: "user", content: "hi" }] });
    expect(request["body"]).not.toHaveProperty("models");
    expect(response.headers.get("x-pool-model")).toBe(second.model);
    expect(await response.json()).toMatchObject({ model: alias });
  });

  it("names who answers in each event of a stream, from the first one on", async () => {
    const { first, second, alias } = await twoModels();
    const machine = await join(second);
    const pending = post(first, { ...ask, models: [alias], stream: true }, path);
    const [, response] = await answeredBySecond(pending, machine, (asked) => machine.answer(asked, CHAT));
    expect(response.headers.get("x-pool-model")).toBe(second.model);
    expect(modelsIn(await response.text())).toEqual(new Set([alias]));
  });

  it("is answered by the first if it can, as without the list", async () => {
    const { first, second } = await twoModels();
    const [machine] = await Promise.all([join(first), join(second)]);
    const pending = post(first, { ...ask, models: [second.model] }, path);
    const [, response] = await answeredBySecond(pending, machine, (asked) =>
      complete(machine, asked, { content: "ho" }),
    );
    expect(response.headers.get("x-pool-model")).toBe(first.model);
    expect(await response.json()).toMatchObject({ model: first.model });
  });

  it("is refused in the API's own envelope, if all refuse", async () => {
    const { first, second } = await twoModels();
    const response = await post(first, { ...ask, models: [second.model] }, path);
    expect([first.model, second.model]).toContain(response.headers.get("x-pool-model"));
    expect(await refusalOf(response)).toMatchObject({ status: 503, code: "model_unavailable" });
  });

  it.each([
    [404, { models: ["no-such"] }, "models[0]"],
    [400, { models: ["a", "b", "c", "d"] }, "models"],
    [400, { models: [""] }, "models[0]"],
    [400, { models: "a" }, "models"],
  ])("is %i with %j", async (status, fields, param) => {
    const { first } = await twoModels();
    expect(await refusalOf(await post(first, { ...ask, ...fields }, path))).toMatchObject({ status, param });
  });

  it("with no further one in the list is told nothing of a choice", async () => {
    const { first } = await twoModels();
    const machine = await join(first);
    const pending = post(first, { ...ask, models: [] }, path);
    complete(machine, await machine.next("inference_request"), { content: "ho" });
    const response = await pending;
    expect(response.headers.has("x-pool-model")).toBe(false);
    expect(await response.json()).toMatchObject({ model: first.model });
  });
});

/** A refusal in either envelope. */
async function refusalOf(response: Response): Promise<object> {
  const { status } = response;
  const { details, ...error } = (await errorOf(response)) as {
    details?: { error_code: string; param: string };
  };
  return { ...error, status, ...(details === undefined ? {} : { ...details, code: details.error_code }) };
}

it("a response over a WebSocket goes to the next model, and says so in its events", async () => {
  const { first, second } = await twoModels();
  const machine = await join(second);
  const client = await open(first);
  client.create({ model: first.model, models: [second.model], input: "hi" });
  say(machine, await machine.next("inference_request"), { content: "ho" });
  const events = await client.turn();
  expect(events.at(-1)).toMatchObject({ type: "response.completed", response: { model: second.model } });
  client.close();
});

describe("a message with fallbacks, which are Anthropic's own list", () => {
  const fallbacksTo = (...models: string[]) => models.map((model) => ({ model }));

  it("is answered by the next", async () => {
    const { first, second, alias } = await twoModels();
    const machine = await join(second);
    const pending = post(first, { ...ASK, fallbacks: fallbacksTo(alias) }, "/v1/messages");
    const [request, response] = await answeredBySecond(pending, machine, (asked) =>
      complete(machine, asked, { content: "ho" }),
    );
    expect(request["body"]).not.toHaveProperty("fallbacks");
    expect(response.headers.get("x-pool-model")).toBe(second.model);
    expect(await response.json()).toMatchObject({ model: alias });
  });

  it.each([
    [404, { fallbacks: fallbacksTo("no-such") }, "fallbacks[0].model"],
    [400, { fallbacks: fallbacksTo("a", "b", "c", "d") }, "fallbacks"],
    [400, { fallbacks: [{}] }, "fallbacks[0].model"],
    [400, { fallbacks: fallbacksTo("a"), models: ["a"] }, "fallbacks"],
    [400, { fallbacks: [{ model: "a" }, { model: "b", max_tokens: 5 }] }, "fallbacks[1].max_tokens"],
    [400, { fallbacks: "auto" }, "fallbacks"],
  ])("is %i with %j", async (status, fields, param) => {
    const { first } = await twoModels();
    const response = await post(first, { ...ASK, ...fields }, "/v1/messages");
    expect(await refusalOf(response)).toMatchObject({ status, param });
  });

  it.each([{ fallbacks: "default" }, { fallbacks: [] }, { fallbacks: null }])(
    "goes nowhere else with %j",
    async (fields) => {
      const { first } = await twoModels();
      const response = await post(first, { ...ASK, ...fields }, "/v1/messages");
      expect(response.headers.has("x-pool-model")).toBe(false);
      expect(await refusalOf(response)).toMatchObject({ status: 503, code: "model_unavailable" });
    },
  );

  it("takes as many tokens as without", async () => {
    const { first, second } = await twoModels();
    const count = async (fields: object): Promise<unknown> => {
      const response = await post(first, { ...ASK, ...fields }, "/v1/messages/count_tokens");
      expect(response.status).toBe(200);
      return response.json();
    };
    const without = await count({});
    expect(await count({ models: [second.model] })).toEqual(without);
    expect(await count({ fallbacks: fallbacksTo(second.model) })).toEqual(without);
  });
});

describe("the official clients", () => {
  it("of Anthropic's API sends fallbacks, and is told who answered", async () => {
    const { first, second } = await twoModels();
    const machine = await join(second);
    const pending = clientOf(first).beta.messages.create({
      model: first.model,
      ...ASK,
      fallbacks: [{ model: second.model }],
      betas: ["server-side-fallback-2026-07-01"],
    });
    complete(machine, await machine.next("inference_request"), { content: "ho" });
    expect((await pending).model).toBe(second.model);
  });

  it("of OpenAI's sends models, and is told who answered", async () => {
    const { first, second } = await twoModels();
    const machine = await join(second);
    const openai = openaiOf(first);
    const choice = { model: first.model, models: [second.model] };
    const response = openai.responses.create({ ...choice, input: "hi" });
    complete(machine, await machine.next("inference_request"), { content: "ho" });
    expect(await response).toMatchObject({ model: second.model, output_text: "ho" });
    const completion = openai.completions.create({ ...choice, prompt: "hi" });
    complete(machine, await machine.next("inference_request"), { content: "ho" });
    expect(await completion).toMatchObject({ model: second.model, choices: [{ text: "ho" }] });
  });
});
