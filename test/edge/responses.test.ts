import { NotFoundError } from "openai";
import { describe, expect, it } from "vitest";

import { HttpError } from "../../worker/http-error.ts";
import { IMAGE_LEFT_OUT } from "../../worker/openai/chat-messages.ts";
import { responsesToChat, type ResponsesRequest } from "../../worker/openai/responses-request.ts";
import { CHUNKS, eventsOf, sse, USAGE } from "../support/translation.ts";
import { join } from "./fake-provider.ts";
import { openaiOf } from "./openai-client.ts";
import { errorOf, fetchEdge, scene } from "./scene.ts";
import { begun, post, translated } from "./translation-scene.ts";

describe("a turn of very many calls", () => {
  const CALLS = 100_000;
  const calls = Array.from({ length: CALLS }, (_, index) => ({
    type: "function_call",
    call_id: `call_${index}`,
    name: "look",
    arguments: "{}",
  }));
  const outputOf = (index: number) => ({
    type: "function_call_output",
    call_id: `call_${index}`,
    output: "a tree",
  });

  it("is read once, not once for each of them: an isolate has other clients", () => {
    const outputs = calls.map((_, index) => outputOf(index));
    expect(responsesToChat({ model: "m", input: [...calls, ...outputs] })).toMatchObject({
      messages: { length: CALLS + 1, 0: { tool_calls: { length: CALLS } } },
    });
    const repeated = outputs.map(() => outputOf(0));
    expect(responsesToChat({ model: "m", input: [...calls.slice(0, 1), ...repeated] })).toMatchObject({
      messages: { length: CALLS + 1 },
    });
  });
});

describe("a chat that is longer than the request it was made of", () => {
  const MAX_BYTES = 16 * 1024 * 1024;
  const calls = Array.from({ length: 100 }, (_, index) => ({
    type: "function_call",
    call_id: `call_${index}`,
    name: "look",
    arguments: "{}",
  }));

  it.each([
    ["is 413 if no machine takes so much", 0, "request_too_large"],
    ["goes to the pool if one does", 16 * 1024, "model_unavailable"],
  ])("%s", async (_, lessBytes, code) => {
    const at = await scene();
    const requestOf = (content: string) => ({
      model: at.model,
      input: [{ role: "user", content }, ...calls],
    });
    const length = MAX_BYTES - JSON.stringify(requestOf("")).length - lessBytes;
    // Two bytes a character, so that to count characters is not enough.
    const content = "é".repeat(Math.floor(length / 2));
    expect(await errorOf(await post(at, requestOf(content)))).toMatchObject({ code });
  });
});

it("what was said between two calls does not come between them and their results", () => {
  const callOf = (call_id: string) => ({ type: "function_call", call_id, name: "look", arguments: "{}" });
  const outputOf = (call_id: string) => ({ type: "function_call_output", call_id, output: "a tree" });
  const say = (content: string) => ({ role: "assistant" as const, content });
  const items = [say("I look"), callOf("a"), say("and"), say("look"), callOf("b")];
  const called = (id: string) => ({ id, type: "function", function: { name: "look", arguments: "{}" } });
  expect(
    responsesToChat({ model: "m", input: [...items, outputOf("a"), outputOf("b"), say("so")] }),
  ).toMatchObject({
    messages: [
      { role: "assistant", content: "I look\nand\nlook", tool_calls: [called("a"), called("b")] },
      { role: "tool", tool_call_id: "a" },
      { role: "tool", tool_call_id: "b" },
      { role: "assistant", content: "so" },
    ],
  });
});

describe("an image", () => {
  const image = { type: "input_image", image_url: "data:image/png;base64,iVBORw0KGgo=" };

  it.each(["function_call", "custom_tool_call"])(
    "that a %s has given is told in words, or no later request of the conversation would be taken",
    (type) => {
      const output = [{ type: "input_text", text: "a.png " }, image];
      const input = [
        { type, call_id: "call_a", name: "view", arguments: "{}", input: "" },
        { type: `${type}_output`, call_id: "call_a", output },
      ];
      expect(responsesToChat({ model: "m", input })).toMatchObject({
        messages: [{}, { role: "tool", tool_call_id: "call_a", content: `a.png ${IMAGE_LEFT_OUT}` }],
      });
    },
  );

  it("of the user is refused, and so is a file that a call has given", () => {
    const param = (input: ResponsesRequest["input"]): unknown => {
      try {
        return responsesToChat({ model: "m", input });
      } catch (error) {
        return error instanceof HttpError ? error.apiError.param : error;
      }
    };
    expect(param([{ role: "user", content: [image] }])).toBe("input[0].content[0]");
    const call = { type: "function_call", call_id: "call_a", name: "view", arguments: "{}" };
    const output = { type: "function_call_output", call_id: "call_a", output: [{ type: "input_file" }] };
    expect(param([call, output])).toBe("input[1].output[0]");
  });
});

describe("POST /v1/responses", () => {
  it("passes on calls, what came of them, tools and formats in chat's words", async () => {
    const at = await scene();
    const machine = await join(at);
    const schema = { type: "object", properties: { a: { type: "string" } } };
    const pending = post(at, {
      input: [
        { role: "user", content: [{ type: "input_text", text: "look" }] },
        { type: "reasoning", id: "rs_1", summary: [] },
        { type: "message", role: "assistant", content: [{ type: "output_text", text: "I look" }] },
        { type: "function_call", call_id: "call_a", name: "look", arguments: "{}" },
        { type: "function_call", call_id: "call_b", name: "hear", arguments: "{}" },
        { type: "function_call_output", call_id: "call_a", output: "a tree" },
        { type: "function_call_output", call_id: "call_b", output: [{ type: "input_text", text: "wind" }] },
      ],
      tools: [{ type: "function", name: "look", parameters: schema, strict: true }],
      tool_choice: { type: "function", name: "look" },
      parallel_tool_calls: false,
      text: { format: { type: "json_schema", name: "thing", schema, strict: true } },
      reasoning: { effort: "low" },
      max_output_tokens: 9,
      seed: 7,
    });
    const request = await machine.next("inference_request");
    const called = (id: string, name: string) => ({
      id,
      type: "function",
      function: { name, arguments: "{}" },
    });
    expect(request["body"]).toEqual({
      model: at.model,
      stream: false,
      messages: [
        { role: "user", content: "look" },
        {
          role: "assistant",
          content: "I look",
          tool_calls: [called("call_a", "look"), called("call_b", "hear")],
        },
        { role: "tool", tool_call_id: "call_a", content: "a tree" },
        { role: "tool", tool_call_id: "call_b", content: "wind" },
      ],
      tools: [{ type: "function", function: { name: "look", parameters: schema, strict: true } }],
      tool_choice: { type: "function", function: { name: "look" } },
      parallel_tool_calls: false,
      response_format: { type: "json_schema", json_schema: { name: "thing", schema, strict: true } },
      reasoning_effort: "low",
      max_completion_tokens: 9,
      seed: 7,
    });
    const message = { role: "assistant", content: null, tool_calls: [called("call_c", "look")] };
    machine.answer(
      request,
      JSON.stringify({ choices: [{ index: 0, message, finish_reason: "tool_calls" }] }),
    );
    expect(await (await pending).json()).toMatchObject({
      status: "completed",
      store: false,
      output: [{ type: "function_call", call_id: "call_c", name: "look", arguments: "{}" }],
      usage: null,
    });
  });

  it.each([
    ["none", "none"],
    ["minimal", "minimal"],
    ["high", "high"],
    ["xhigh", "high"],
    ["max", "high"],
  ])("with the effort %s asks for %s, since engines know nothing above", (effort, asked) => {
    const chat = responsesToChat({ model: "m", input: "hi", reasoning: { effort } });
    expect(chat).toMatchObject({ reasoning_effort: asked });
  });

  it("of the tools that it may call only some, shows the machine those", async () => {
    const at = await scene();
    const machine = await join(at);
    const tools = ["look", "hear", "smell"].map((name) => ({ type: "function", name }));
    const allowed = ["hear", "smell"].map((name) => ({ type: "function", name }));
    const pending = post(at, {
      input: "hi",
      tools,
      tool_choice: { type: "allowed_tools", mode: "required", tools: allowed },
    });
    const request = await machine.next("inference_request");
    expect(request["body"]).toMatchObject({
      tools: [
        { type: "function", function: { name: "hear" } },
        { type: "function", function: { name: "smell" } },
      ],
      tool_choice: "required",
    });
    machine.answer(request, JSON.stringify({ choices: [] }));
    expect(await (await pending).json()).toMatchObject({
      tools,
      tool_choice: { type: "allowed_tools", tools: allowed },
    });
  });

  it.each(["GET", "DELETE"])("%s of a response is 404, since none is kept", async (method) => {
    const { apiKey } = await scene();
    const headers = { authorization: `Bearer ${apiKey}` };
    const response = await fetchEdge("/v1/responses/resp_1", { method, headers });
    expect(await errorOf(response)).toMatchObject({ status: 404, code: "not_found" });
  });

  it("asks a machine for a chat and answers with a response, headers kept", async () => {
    const at = await scene();
    const machine = await join(at);
    const pending = post(at, { input: "hi", instructions: "be brief" });
    const request = await machine.next("inference_request");
    expect(request).toMatchObject({
      body: {
        messages: [
          { role: "system", content: "be brief" },
          { role: "user", content: "hi" },
        ],
      },
    });
    const choices = [{ index: 0, message: { role: "assistant", content: "ho" }, finish_reason: "length" }];
    machine.answer(request, JSON.stringify({ choices, usage: USAGE }));
    const response = await pending;
    expect(response.headers.get("x-request-id")).toBeTruthy();
    expect(await response.json()).toMatchObject({
      object: "response",
      model: at.model,
      status: "incomplete",
      incomplete_details: { reason: "max_output_tokens" },
      output: [{ type: "message", content: [{ type: "output_text", text: "ho" }] }],
      usage: { input_tokens: 7, output_tokens: 3, total_tokens: 10 },
    });
  });

  it("is not completed while it is in progress, and not when it failed", async () => {
    const error = { message: "broke", type: "server_error", code: "provider_error", param: null };
    const events = eventsOf(await translated([sse(CHUNKS[1], { error })]));
    const responses = events.flatMap(({ response }) => response ?? []);
    expect(responses.map((response) => (response as { completed_at: unknown }).completed_at)).toEqual([
      null,
      null,
      null,
    ]);
  });

  it("is told about how many tokens a prompt takes, without a machine", async () => {
    const at = await scene();
    const { responses } = openaiOf(at);
    const count = async (input: string, model = at.model): Promise<number> =>
      (await responses.inputTokens.count({ model, input })).input_tokens;
    const least = await count("");
    expect(least).toBeGreaterThan(0);
    expect((await count("a".repeat(4_000))) - least).toBe(1_000);
    await expect(count("hi", "none")).rejects.toBeInstanceOf(NotFoundError);
    const response = await post(at, { input: "" }, "/v1/responses/input_tokens");
    expect(await response.json()).toEqual({ object: "response.input_tokens", input_tokens: least });
  });

  it("is not compacted", async () => {
    const response = await post(await scene(), { input: "hi" }, "/v1/responses/compact");
    expect(await errorOf(response)).toMatchObject({ status: 400, code: "unsupported" });
  });

  it("cancels the machine when the client leaves", async () => {
    const at = await scene();
    const machine = await join(at);
    const { request, response } = await begun(at, machine);
    await response.body?.cancel();
    expect(await machine.next("cancel")).toMatchObject({ request_id: request["request_id"] });
  });

  it.each(["required", { type: "function", name: "look" }])(
    "refuses the choice of a tool where there is none: %j",
    async (tool_choice) => {
      const response = await post(await scene(), { input: "hi", tool_choice });
      expect(await errorOf(response)).toMatchObject({
        status: 400,
        code: "invalid_request",
        param: "tool_choice",
      });
    },
  );

  it("refuses by name what would need kept state or tools of its own", async () => {
    const at = await scene();
    for (const [fields, param] of [
      [{ previous_response_id: "resp_1" }, "previous_response_id"],
      [{ background: true }, "background"],
      [{ generate: false }, "generate"],
      [{ moderation: { model: "omni-moderation-latest" } }, "moderation"],
      [{ tools: [{ type: "web_search" }] }, "tools[0].type"],
      [{ tools: [{ type: "function", name: "look" }], tool_choice: { type: "web_search" } }, "tool_choice"],
      [{ top_logprobs: 2 }, "top_logprobs"],
      [{ include: ["reasoning.encrypted_content", "message.output_text.logprobs"] }, "include[1]"],
    ] as const) {
      const response = await post(at, { input: "hi", ...fields });
      expect(response.status).toBe(400);
      expect(await response.json()).toMatchObject({ error: { code: "unsupported", param } });
    }
  });
});
