import Anthropic, { AuthenticationError, BadRequestError, NotFoundError } from "@anthropic-ai/sdk";
import { zodOutputFormat } from "@anthropic-ai/sdk/helpers/zod";
import { describe, expect, it } from "vitest";
import { z } from "zod";

import { useOneSlot } from "./one-slot.ts";
import {
  expectPatience,
  LONG_GRAMMAR,
  NAME_SCHEMA,
  statusesOf,
  TOO_LONG,
  watchFetch,
  WHO,
} from "./questions.ts";

/** Anthropic's official client, as its users point it at any server of the Messages API. */

const oneSlot = useOneSlot("mac-anthropic");
const { stack } = oneSlot;

function clientOf(options: ConstructorParameters<typeof Anthropic>[0] = {}): Anthropic {
  return new Anthropic({ baseURL: stack.url, apiKey: stack.dev.api_key, maxRetries: 0, ...options });
}

/** Sampled, but always the same. The seed is our engine's, not of this API. */
const introduce = {
  model: "tiny-bard",
  max_tokens: 200,
  messages: [{ role: "user" as const, content: WHO }],
  temperature: 0.7,
  top_p: 0.9,
  seed: 7,
};

const lookUp = {
  name: "look_up",
  description: "Tells who somebody is.",
  strict: true,
  input_schema: NAME_SCHEMA,
};
const forced = {
  ...introduce,
  tools: [lookUp],
  tool_choice: { type: "tool" as const, name: "look_up" },
};

/** Longer than a test lasts, unless somebody cuts it. The grammar is our engine's own field. */
const long = { ...introduce, max_tokens: 1_000, grammar: LONG_GRAMMAR };

describe("Anthropic's client", () => {
  it("gets the same text and usage whole, streamed and through the stream helper", async () => {
    const { messages } = clientOf();
    const whole = await messages.create(introduce);
    expect(whole).toMatchObject({
      stop_reason: "end_turn",
      content: [{ type: "text", text: expect.stringContaining("Tiny Bard") }],
    });
    expect(whole.usage.output_tokens).toBeGreaterThan(3);

    const types: string[] = [];
    for await (const event of await messages.create({ ...introduce, stream: true })) types.push(event.type);
    expect(types.slice(0, 2)).toEqual(["message_start", "content_block_start"]);
    expect(types.filter((type) => type === "content_block_delta").length).toBeGreaterThan(3);
    expect(types.slice(-3)).toEqual(["content_block_stop", "message_delta", "message_stop"]);

    const final = await messages.stream(introduce).finalMessage();
    expect(final.content).toEqual(whole.content);
    expect(final.usage.output_tokens).toBe(whole.usage.output_tokens);
    // The prompt is still in the one slot.
    expect(final.usage.cache_read_input_tokens).toBeGreaterThan(0);
    const inputTokens = ({ usage }: Anthropic.Message): number =>
      usage.input_tokens + (usage.cache_read_input_tokens ?? 0);
    expect(inputTokens(final)).toBe(inputTokens(whole));
  });

  it("is told when the tokens ran out", async () => {
    const message = await clientOf().messages.create({ ...introduce, max_tokens: 3 });
    expect(message).toMatchObject({ stop_reason: "max_tokens", usage: { output_tokens: 3 } });
  });

  it("is told which stop sequence has ended the answer, whole and streamed", async () => {
    const body = { ...introduce, stop_sequences: ["never", "Bard"] };
    const ended = { stop_reason: "stop_sequence", stop_sequence: "Bard" };
    expect(await clientOf().messages.create(body)).toMatchObject(ended);
    const streamed = await clientOf().messages.stream(body).finalMessage();
    expect(streamed).toMatchObject({ ...ended, content: [{ text: expect.stringMatching(/Tiny $/) }] });
  });

  it("calls a tool and goes on with what came of it, whole and streamed", async () => {
    const { messages } = clientOf();
    const whole = await messages.create(forced);
    expect(whole.stop_reason).toBe("tool_use");
    const [call] = whole.content;
    if (call?.type !== "tool_use") throw new Error("the tool was not called");
    expect(call).toMatchObject({ name: "look_up", input: { name: expect.stringMatching(/^(bard|verse)$/) } });
    const streamed = await messages.stream(forced).finalMessage();
    expect(streamed.content).toMatchObject([{ type: "tool_use", input: call.input }]);

    const next = await messages.create({
      ...introduce,
      messages: [
        ...introduce.messages,
        { role: "assistant", content: whole.content },
        { role: "user", content: [{ type: "tool_result", tool_use_id: call.id, content: '{"old":true}' }] },
      ],
      tools: [lookUp],
      tool_choice: { type: "none" },
    });
    expect(next).toMatchObject({ stop_reason: "end_turn", content: [{ type: "text" }] });
  });

  it("gets an object of its schema", async () => {
    const person = z.object({ name: z.enum(["bard", "verse"]), old: z.boolean() });
    const { parsed_output } = await clientOf().messages.parse({
      ...introduce,
      output_config: { format: zodOutputFormat(person) },
    });
    expect(parsed_output).toEqual({
      name: expect.stringMatching(/^(bard|verse)$/),
      old: expect.any(Boolean),
    });
  });

  it("[F7] frees the slot when it goes away half way", async () => {
    const abort = new AbortController();
    const stream = await clientOf().messages.create({ ...long, stream: true }, { signal: abort.signal });
    for await (const event of stream) if (event.type === "content_block_delta") break;
    abort.abort();
    // With one slot, this is answered only once the first request has left it.
    const next = await clientOf({ maxRetries: 5 }).messages.create(introduce);
    expect(next.content).toMatchObject([{ text: expect.stringContaining("Tiny Bard") }]);
  });

  it("fails with the error class of the status and with a request id, and tries none of these again", async () => {
    const watched = watchFetch();
    const options = { maxRetries: 2, fetch: watched.fetch };
    const failure = (body: object, key: object = {}): Promise<unknown> =>
      clientOf({ ...options, ...key })
        .messages.create({ ...introduce, ...body })
        .catch((error: unknown) => error);

    const unknown = await failure({ model: "claude-none" });
    expect(unknown).toBeInstanceOf(NotFoundError);
    expect(unknown).toMatchObject({
      errorCode: "model_not_found",
      requestID: expect.stringMatching(/^req_/),
    });
    const denied = await failure({}, { apiKey: "pk_0_0" });
    expect(denied).toBeInstanceOf(AuthenticationError);
    const tooLong = await failure({ messages: [{ role: "user", content: TOO_LONG }] });
    expect(tooLong).toBeInstanceOf(BadRequestError);
    expect(tooLong).toMatchObject({
      errorCode: "context_length_exceeded",
      apiMessage: expect.stringMatching(/^prompt is too long: /),
    });
    expect(statusesOf(watched)).toEqual([404, 401, 400]);
  });

  it("waits as long as a 429 tells it to, then is answered", async () => {
    const watched = await oneSlot.refuseOnce();
    const { content } = await clientOf({ maxRetries: 1, fetch: watched.fetch }).messages.create(introduce);
    expect(content).toMatchObject([{ text: expect.stringContaining("Tiny Bard") }]);
    expectPatience(watched);
  });

  it("gets an error for a stream whose machine is killed in the middle", async () => {
    const stream = clientOf().messages.stream(long);
    stream.once("text", () => oneSlot.killMachine());
    await expect(stream.finalMessage()).rejects.toMatchObject({
      type: "api_error",
      errorCode: "provider_error",
    });
  });
});
