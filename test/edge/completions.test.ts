import { expect, it } from "vitest";

import { completionTranslator } from "../../worker/openai/completion-translator.ts";
import { join } from "./fake-provider.ts";
import { fetchEdge, scene, type Scene } from "./scene.ts";
import { eventsOf, sse, translatedBy } from "./translation-scene.ts";

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

it("several prompts and an echo are refused by name", async () => {
  const at = await scene();
  for (const [fields, param] of [
    [{ prompt: ["a", "b"] }, "prompt"],
    [{ prompt: "a", echo: true }, "echo"],
  ] as const) {
    const response = await post(at, fields);
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: { param } });
  }
});

function post(at: Scene, fields: object): Promise<Response> {
  return fetchEdge("/v1/completions", {
    method: "POST",
    headers: { authorization: `Bearer ${at.apiKey}`, "content-type": "application/json" },
    body: JSON.stringify({ model: at.model, ...fields }),
  });
}
