import { AuthenticationError, BadRequestError, NotFoundError, type OpenAI, RateLimitError } from "openai";
import { zodFunction, zodResponseFormat, zodTextFormat } from "openai/helpers/zod";
import { describe, expect, it } from "vitest";
import { z } from "zod";

import { useOneSlot } from "./one-slot.ts";
import { expectPatience, NAME_SCHEMA, statusesOf, TOO_LONG, watchFetch, WHO } from "./questions.ts";

/** What else the official client does with chats: its helpers for tools and schemas, its errors and its retries. */

const oneSlot = useOneSlot("mac-openai");
const { stack } = oneSlot;

/** Sampled, but always the same. */
const introduce = {
  model: "tiny-bard",
  messages: [{ role: "user" as const, content: WHO }],
  temperature: 0.7,
  top_p: 0.9,
  seed: 7,
};

const person = z.object({ name: z.string().max(12), old: z.boolean() });

const lookUp = {
  type: "function" as const,
  function: {
    name: "look_up",
    description: "Tells who somebody is.",
    strict: true,
    parameters: NAME_SCHEMA,
  },
};
const forced = {
  ...introduce,
  tools: [lookUp],
  tool_choice: { type: "function" as const, function: { name: "look_up" } },
};

describe("the official client's chats", () => {
  it("add up in the stream helper, which is strict about roles, ids and the end", async () => {
    const { chat } = stack.client();
    const whole = await chat.completions.create(introduce);
    const stream = chat.completions.stream({ ...introduce, stream_options: { include_usage: true } });
    const final = await stream.finalChatCompletion();
    expect(final.choices[0]?.message).toMatchObject({
      role: "assistant",
      content: whole.choices[0]?.message.content,
      refusal: null,
    });
    expect(await stream.totalUsage()).toMatchObject({ total_tokens: whole.usage?.total_tokens });
  });

  it("are parsed by a schema, whole and streamed", async () => {
    const { chat } = stack.client();
    const body = { ...introduce, response_format: zodResponseFormat(person, "person") };
    const whole = await chat.completions.parse(body);
    const parsed = whole.choices[0]?.message.parsed;
    expect(parsed).toEqual({ name: expect.any(String), old: expect.any(Boolean) });
    const streamed = await chat.completions.stream(body).finalChatCompletion();
    expect(streamed.choices[0]?.message.parsed).toEqual(parsed);
  });

  it("are held to what Zod says of strings, in chats, calls and responses", async () => {
    const { chat, responses } = stack.client();
    const fields = z.object({
      id: z.uuid(),
      at: z.iso.datetime(),
      to: z.email().max(40),
      code: z.string().regex(/^[A-Z]{3}$/),
    });
    const body = { ...introduce, response_format: zodResponseFormat(fields, "message") };
    const { choices } = await chat.completions.parse(body);
    expect(fields.safeParse(choices[0]?.message.parsed).error).toBeUndefined();

    const tools = [zodFunction({ name: "send", parameters: fields })];
    const called = await chat.completions.parse({ ...introduce, tools, tool_choice: "required" });
    const [call] = called.choices[0]?.message.tool_calls ?? [];
    if (call?.type !== "function") throw new Error("the tool was not called");
    expect(fields.safeParse(call.function.parsed_arguments).error).toBeUndefined();

    const text = { format: zodTextFormat(fields, "message") };
    const response = await responses.parse({ model: "tiny-bard", input: WHO, text });
    expect(fields.safeParse(response.output_parsed).error).toBeUndefined();
  });

  it("call a tool and go on with what came of it, whole and streamed", async () => {
    const { chat } = stack.client();
    const whole = (await chat.completions.create(forced)).choices[0];
    expect(whole).toMatchObject({ finish_reason: "tool_calls", message: { content: null } });
    const [call] = whole?.message.tool_calls ?? [];
    if (call?.type !== "function" || whole === undefined) throw new Error("the tool was not called");
    expect(call.function.name).toBe("look_up");
    expect(["bard", "verse"]).toContain((JSON.parse(call.function.arguments) as { name: string }).name);

    const streamed = (await chat.completions.stream(forced).finalChatCompletion()).choices[0];
    expect(streamed?.finish_reason).toBe("tool_calls");
    expect(streamed?.message.tool_calls).toMatchObject([{ type: "function", function: call.function }]);

    const next = await chat.completions.create({
      ...introduce,
      messages: [
        ...introduce.messages,
        whole.message,
        { role: "tool", tool_call_id: call.id, content: '{"old":true}' },
      ],
      tools: [lookUp],
      tool_choice: "none",
    });
    expect(next.choices[0]?.message.content).not.toBe("");
  });

  it("fail with the error class of their status and with a request id", async () => {
    const watched = watchFetch();
    const client = stack.client({ maxRetries: 2 }).withOptions({ fetch: watched.fetch });
    const failure = (body: object, as: OpenAI = client): Promise<unknown> =>
      as.chat.completions.create({ ...introduce, ...body }).catch((error: unknown) => error);

    const unknown = await failure({ model: "nope" });
    expect(unknown).toBeInstanceOf(NotFoundError);
    expect(unknown).toMatchObject({ code: "model_not_found", param: "model" });

    const denied = await failure({}, client.withOptions({ apiKey: "pk_0_0" }));
    expect(denied).toBeInstanceOf(AuthenticationError);
    expect(denied).toMatchObject({ code: "invalid_api_key", requestID: expect.stringMatching(/^req_/) });

    const long = await failure({ messages: [{ role: "user", content: TOO_LONG }], stream: true });
    expect(long).toBeInstanceOf(BadRequestError);
    expect(long).toMatchObject({ code: "context_length_exceeded", type: "invalid_request_error" });

    const several = await failure({ n: 2 });
    expect(several).toBeInstanceOf(BadRequestError);
    expect(several).toMatchObject({ param: "n" });

    // None of them was tried again.
    expect(statusesOf(watched)).toEqual([404, 401, 400, 400]);
  });

  it("wait as long as a 429 tells them to, then are answered", async () => {
    const watched = await oneSlot.refuseOnce();
    const client = stack.client({ maxRetries: 1 }).withOptions({ fetch: watched.fetch });
    const { choices } = await client.chat.completions.create(introduce);
    expect(choices[0]?.message.content).toContain("Tiny Bard");
    expectPatience(watched);
  });

  it("are refused with a RateLimitError that says why and for how long", async () => {
    await stack.admin.setFlag("shed_models", "tiny-bard");
    const refused: unknown = await stack
      .client()
      .chat.completions.create({ ...introduce, stream: true })
      .catch((error: unknown) => error);
    if (!(refused instanceof RateLimitError)) throw new Error(`not refused: ${String(refused)}`);
    expect(refused).toMatchObject({ code: "model_shed", type: "rate_limit_exceeded" });
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThanOrEqual(40);
  });
});
