import { describe, expect, it } from "vitest";

import { completionRequestSchema, completionToChat } from "../../worker/openai/completion-request.ts";
import { completionTranslator } from "../../worker/openai/completion-translator.ts";
import { validate } from "../../worker/validate.ts";
import { apiErrorOf, eventsOf, sse } from "../support/translation.ts";
import { join } from "./fake-provider.ts";
import { fetchEdge, scene, type Scene } from "./scene.ts";
import { translatedBy } from "./translation-scene.ts";

it("a legacy completion is a chat with one message, there and back", async () => {
  const at = await scene();
  const machine = await join(at);
  const pending = post(at, { prompt: "hi", stream: true });
  const request = await machine.next("inference_request");
  expect(request).toMatchObject({ body: { messages: [{ role: "user", content: "hi" }] } });
  const chunk = { choices: [{ index: 0, delta: { content: "é" }, finish_reason: "stop" }] };
  machine.answer(request, `data: ${JSON.stringify(chunk)}\n\ndata: [DONE]\n\n`);
  const text = await (await pending).text();
  expect(text).toMatch(/^data: \{"id":"cmpl-req_/);
  expect(text).toContain('"choices":[{"index":0,"text":"é","logprobs":null,"finish_reason":"stop"}]');
  expect(text).toMatch(/\n\ndata: \[DONE\]\n\n$/);
});

it("a stream keeps comments and usage, and has no text where the machine has written none", async () => {
  const translator = completionTranslator("req_1", 7, "m");
  const usage = { prompt_tokens: 7, completion_tokens: 3, total_tokens: 10 };
  const chunks = [
    { choices: [{ delta: { role: "assistant", content: null }, finish_reason: null }] },
    { choices: [], usage },
  ];
  const comment = new TextEncoder().encode(": keep-alive\n\n");
  const text = await translatedBy(translator, [comment, sse(...chunks)]);
  const head = { id: "cmpl-req_1", object: "text_completion", created: 7, model: "m" };
  const choices = [{ index: 0, text: "", logprobs: null, finish_reason: null }];
  expect(eventsOf(text.replace("data: [DONE]", ""))).toEqual([
    { ...head, choices },
    { ...head, choices: [], usage },
  ]);
  expect(text).toMatch(/^: keep-alive\n\ndata: /);
});

it("a stream whose machine leaves [DONE] out ends like any other", async () => {
  const at = await scene();
  const machine = await join(at);
  const pending = post(at, { prompt: "hi", stream: true });
  const chunk = { choices: [{ index: 0, delta: { content: "a" }, finish_reason: "stop" }] };
  machine.answer(await machine.next("inference_request"), `data:${JSON.stringify(chunk)}\n\n`);
  expect(await (await pending).text()).toMatch(/"text":"a".*\n\ndata: \[DONE\]\n\n$/);
});

it("one that is not streamed comes whole", async () => {
  const at = await scene();
  const machine = await join(at);
  const pending = post(at, { prompt: ["hi"], max_tokens: 5 });
  const request = await machine.next("inference_request");
  expect(request).toMatchObject({ body: { messages: [{ role: "user", content: "hi" }], max_tokens: 5 } });
  const usage = { prompt_tokens: 7, completion_tokens: 3, total_tokens: 10 };
  const choices = [{ index: 0, message: { role: "assistant", content: "ho" }, finish_reason: "length" }];
  machine.answer(request, JSON.stringify({ choices, usage }));
  expect(await (await pending).json()).toMatchObject({
    object: "text_completion",
    model: at.model,
    choices: [{ index: 0, text: "ho", logprobs: null, finish_reason: "length" }],
    usage,
  });
});

it("a stream that breaks ends with an error event and no [DONE]", async () => {
  const at = await scene();
  const machine = await join(at);
  const pending = post(at, { prompt: "hi", stream: true });
  const request = await machine.next("inference_request");
  machine.accept(request);
  machine.bytes(request, 'data: {"choices":[{"delta":{"content":"a"},"finish_reason":null}]}\n\n');
  const response = await pending;
  machine.error(request, "fault", "engine_crashed");
  const text = await response.text();
  expect(text).toMatch(/"text":"a".*\n\ndata: \{"error":\{.*"code":"provider_error".*\}\}\n\n$/);
});

it("an answer says nothing where the machine has written nothing", () => {
  const choices = [{ message: { content: null }, finish_reason: "stop" }];
  expect(completionTranslator("req_1", 7, "m").whole({ choices })).toEqual({
    id: "cmpl-req_1",
    object: "text_completion",
    created: 7,
    model: "m",
    choices: [{ index: 0, text: "", logprobs: null, finish_reason: "stop" }],
    usage: undefined,
  });
});

describe("a request", () => {
  const chatOf = (fields: object): object =>
    completionToChat(validate(completionRequestSchema, { model: "m", prompt: "hi", ...fields }));
  const plain = { model: "m", messages: [{ role: "user", content: "hi" }] };

  it("becomes a chat, with its other fields as they are and without those that say nothing", () => {
    const nothing = { echo: false, suffix: "", logprobs: null, best_of: 1, models: ["n"], tools: null };
    const same = { n: 1, max_tokens: 5, temperature: 0, top_p: 1, seed: 7, stop: ["a"], top_k: 3 };
    expect(chatOf({ ...nothing, ...same })).toEqual({ ...plain, ...same });
    for (const none of [0, null, undefined]) expect(chatOf({ echo: none, suffix: none })).toEqual(plain);
    expect(chatOf({ prompt: ["hi"] })).toEqual(plain);
  });

  it.each<[object, string, string]>([
    [{ prompt: ["a", "b"] }, "prompt", "must be one text; lists of prompts and token ids are not supported"],
    [{ prompt: [1, 2] }, "prompt", "must be one text"],
    [{ prompt: undefined }, "prompt", "must be one text"],
    [{ echo: true }, "echo", "echo is not supported"],
    [{ suffix: "a" }, "suffix", "suffix is not supported"],
    [{ tools: [{ type: "function", function: { name: "look" } }] }, "tools", "tools are not supported"],
    [{ logprobs: 0 }, "logprobs", "logprobs are not supported"],
    [{ n: 2 }, "n", "only n = 1 is supported"],
    [{ best_of: 2 }, "best_of", "only best_of = 1 is supported"],
    [{ max_tokens: 0 }, "max_tokens", "must be at least 1"],
    [{ temperature: 2.1 }, "temperature", "must be at most 2"],
    [{ temperature: -0.1 }, "temperature", "must be at least 0"],
    [{ top_p: 1.1 }, "top_p", "must be at most 1"],
    [{ top_p: -0.1 }, "top_p", "must be at least 0"],
    [{ seed: 1.5 }, "seed", "must be a whole number"],
    [{ stop: ["a", "b", "c", "d", "e"] }, "stop", "must have at most 4 entries"],
    [{ stream: "yes" }, "stream", "must be true or false"],
    [{ model: "" }, "model", "must not be empty"],
  ])("is refused by name: %j", (fields, param, why) => {
    expect(apiErrorOf(() => chatOf(fields))).toMatchObject({
      code: "invalid_request",
      param,
      message: expect.stringContaining(`${param}: ${why}`) as string,
    });
  });
});

function post(at: Scene, fields: object): Promise<Response> {
  return fetchEdge("/v1/completions", {
    method: "POST",
    headers: { authorization: `Bearer ${at.apiKey}`, "content-type": "application/json" },
    body: JSON.stringify({ model: at.model, ...fields }),
  });
}
