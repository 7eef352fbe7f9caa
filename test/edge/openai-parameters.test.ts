import { APIError, BadRequestError, NotFoundError, type OpenAI } from "openai";
import { describe, expect, it } from "vitest";

import { chunk, sse, USAGE } from "../support/translation.ts";
import { join, type FakeProvider, type Message } from "./fake-provider.ts";
import { openaiOf } from "./openai-client.ts";
import { scene, type Scene } from "./scene.ts";

/** What the official client of OpenAI's API lets people ask for: passed on, or refused by name; never a fault of ours. */

type ChatFields = Partial<OpenAI.ChatCompletionCreateParamsNonStreaming>;
type ResponseFields = Partial<OpenAI.Responses.ResponseCreateParamsNonStreaming>;

const SCHEMA = { type: "object", properties: { a: { type: "string" } }, additionalProperties: false };

const CHAT = {
  messages: [
    { role: "developer", content: "be short" },
    { role: "user", content: [{ type: "text", text: "hi" }], name: "anna" },
  ],
  max_completion_tokens: 16,
  n: 1,
  logprobs: false,
  store: true,
  metadata: { trace: "t-1" },
  service_tier: "flex",
  reasoning_effort: "minimal",
  verbosity: "low",
  prompt_cache_key: "k",
  safety_identifier: "s",
  user: "u",
  parallel_tool_calls: false,
  tools: [{ type: "function", function: { name: "look", parameters: SCHEMA, strict: true } }],
  tool_choice: "auto",
  response_format: { type: "json_schema", json_schema: { name: "thing", schema: SCHEMA, strict: true } },
  stop: ["\n"],
  seed: 7,
  logit_bias: { "50256": -100 },
  frequency_penalty: 0.5,
} as const satisfies Omit<OpenAI.ChatCompletionCreateParams, "model" | "stop"> & {
  readonly stop: readonly string[];
};

async function answered<T>(machine: FakeProvider, pending: Promise<T>, text: string): Promise<[Message, T]> {
  const request = await machine.next("inference_request");
  machine.answer(request, text);
  return [request, await pending];
}

/** What the client makes of a refusal. */
async function refusalOf(asked: PromiseLike<unknown>): Promise<APIError> {
  try {
    await asked;
  } catch (error) {
    if (error instanceof APIError) return error;
    throw error;
  }
  throw new Error("it was not refused");
}

const chatWith = (at: Scene, fields: object): PromiseLike<unknown> =>
  openaiOf(at).chat.completions.create({
    model: at.model,
    messages: [{ role: "user", content: "hi" }],
    ...(fields as ChatFields),
  });

const responseWith = (at: Scene, fields: object): PromiseLike<unknown> =>
  openaiOf(at).responses.create({ model: at.model, input: "hi", ...(fields as ResponseFields) });

describe("the official client's chat", () => {
  it("reaches the machine with every field as it was sent", async () => {
    const at = await scene();
    const machine = await join(at);
    const asked = { model: at.model, ...CHAT, stop: [...CHAT.stop], messages: [...CHAT.messages] };
    const message = { role: "assistant", content: "ho", refusal: null };
    const answer = { id: "c", object: "chat.completion", choices: [{ index: 0, message }], usage: USAGE };
    const pending = openaiOf(at).chat.completions.create({ ...asked, tools: [...CHAT.tools] });
    const [request, completion] = await answered(machine, pending, JSON.stringify(answer));
    expect(request["body"]).toEqual(asked);
    expect(completion.choices[0]?.message.content).toBe("ho");
  });

  it("is streamed, with its usage at the end", async () => {
    const at = await scene();
    const machine = await join(at);
    const pending = openaiOf(at).chat.completions.create({
      model: at.model,
      messages: [{ role: "user", content: "hi" }],
      stream: true,
      stream_options: { include_usage: true, include_obfuscation: false },
    });
    const text = new TextDecoder().decode(sse(chunk({ content: "ho" }), { choices: [], usage: USAGE }));
    const [, stream] = await answered(machine, pending, text);
    const seen: unknown[] = [];
    for await (const each of stream) seen.push(each.usage ?? each.choices[0]?.delta.content);
    expect(seen).toEqual(["ho", USAGE]);
  });

  it.each<[object, string]>([
    [{ n: 2 }, "n"],
    [{ logprobs: true, top_logprobs: 2 }, "logprobs"],
    [{ stream_options: { include_usage: true } }, "stream_options"],
    [{ messages: [] }, "messages"],
    [{ messages: [{ role: "critic", content: "hi" }] }, "messages[0].role"],
    [{ messages: [{ role: "user", content: { text: "hi" } }] }, "messages[0].content"],
    [{ max_completion_tokens: 0 }, "max_completion_tokens"],
    [{ temperature: 3 }, "temperature"],
    [{ top_p: "1" }, "top_p"],
    [{ seed: 1.5 }, "seed"],
    [{ stop: ["a", "b", "c", "d", "e"] }, "stop"],
    [{ response_format: { type: "xml" } }, "response_format.type"],
    [{ tools: [{ type: "function", function: { name: "no blanks" } }] }, "tools[0].function.name"],
    [{ tool_choice: "sometimes" }, "tool_choice"],
    [{ stream: "yes" }, "stream"],
    [{ model: "" }, "model"],
  ])("is refused by the name of the field: %j", async (fields, param) => {
    const error = await refusalOf(chatWith(await scene(), fields));
    expect(error).toBeInstanceOf(BadRequestError);
    expect(error).toMatchObject({ status: 400, code: "invalid_request", param });
    expect(error.message).toContain(param);
  });
});

describe("what no machine can do is refused in the official client's chat, for its answer would lack it:", () => {
  it.each<[string, object]>([
    ["web_search_options", { web_search_options: {} }],
    ["moderation", { moderation: { model: "omni-moderation-latest" } }],
  ])("%s", async (param, fields) => {
    const at = await scene();
    const error = await refusalOf(chatWith(at, fields));
    expect(error).toBeInstanceOf(BadRequestError);
    expect(error).toMatchObject({ status: 400, code: "unsupported", param });
    const machine = await join(at);
    const pending = chatWith(at, { [param]: null });
    machine.answer(await machine.next("inference_request"), "{}");
    await pending;
  });
});

describe("the official client's response", () => {
  it("reaches the machine as a chat, and what has no part in that is taken and told again", async () => {
    const at = await scene();
    const machine = await join(at);
    const told = {
      metadata: { trace: "t-1" },
      prompt_cache_key: "k",
      safety_identifier: "s",
      parallel_tool_calls: false,
      max_output_tokens: 16,
      instructions: "be short",
    };
    const pending = openaiOf(at).responses.create({
      ...told,
      model: at.model,
      input: [
        { role: "developer", content: "be kind" },
        { role: "user", content: [{ type: "input_text", text: "hi" }] },
      ],
      store: true,
      service_tier: "flex",
      truncation: "auto",
      user: "u",
      include: ["reasoning.encrypted_content"],
      reasoning: { effort: "minimal", summary: "auto" },
      text: {
        format: { type: "json_schema", name: "thing", schema: SCHEMA, strict: true },
        verbosity: "low",
      },
    });
    const message = { role: "assistant", content: "ho" };
    const [request, response] = await answered(
      machine,
      pending,
      JSON.stringify({ choices: [{ index: 0, message, finish_reason: "stop" }], usage: USAGE }),
    );
    expect(request["body"]).toMatchObject({
      messages: [
        { role: "system", content: "be short" },
        { role: "developer", content: "be kind" },
        { role: "user", content: "hi" },
      ],
      max_completion_tokens: 16,
      reasoning_effort: "minimal",
      response_format: { type: "json_schema", json_schema: { name: "thing", schema: SCHEMA, strict: true } },
    });
    expect(response.output_text).toBe("ho");
    expect(response).toMatchObject({ ...told, status: "completed", store: false });
  });

  it.each<[object, string]>([
    [{ previous_response_id: "resp_1" }, "previous_response_id"],
    [{ conversation: "conv_1" }, "conversation"],
    [{ prompt: { id: "pmpt_1" } }, "prompt"],
    [{ background: true }, "background"],
    [{ top_logprobs: 2 }, "top_logprobs"],
    [{ tools: [{ type: "code_interpreter", container: { type: "auto" } }] }, "tools[0].type"],
    [{ input: [{ type: "item_reference", id: "msg_1" }] }, "input[0].type"],
    [{ input: [{ role: "user", content: [{ type: "input_file" }] }] }, "input[0].content[0]"],
    [{ input: [] }, "input"],
    [{ metadata: { trace: 1 } }, "metadata.trace"],
    [{ max_output_tokens: 0 }, "max_output_tokens"],
    [{ text: { format: { type: "xml" } } }, "text.format.type"],
  ])("is refused by the name of the field: %j", async (fields, param) => {
    const error = await refusalOf(responseWith(await scene(), fields));
    expect(error).toBeInstanceOf(BadRequestError);
    expect(error).toMatchObject({ status: 400, param });
    expect(error.message).toContain(param);
  });
});

it.each<[string, (client: OpenAI) => PromiseLike<unknown>]>([
  ["a stored response", ({ responses }) => responses.retrieve("resp_1")],
  ["what a stored response was asked", ({ responses }) => responses.inputItems.list("resp_1")],
  ["the end of one in the background", ({ responses }) => responses.cancel("resp_1")],
  ["a conversation", ({ conversations }) => conversations.create({})],
  ["files", ({ files }) => files.list()],
  ["batches", ({ batches }) => batches.list()],
  ["moderation", ({ moderations }) => moderations.create({ input: "hi" })],
  ["images", ({ images }) => images.generate({ prompt: "hi" })],
  ["speech", ({ audio }) => audio.speech.create({ input: "hi", model: "m", voice: "alloy" })],
])("what there is not is not found: %s", async (_, ask) => {
  const error = await refusalOf(ask(openaiOf(await scene())));
  expect(error).toBeInstanceOf(NotFoundError);
  expect(error).toMatchObject({ code: "not_found", type: "invalid_request_error" });
});
