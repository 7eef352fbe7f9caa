import { AuthenticationError, BadRequestError, NotFoundError, RateLimitError } from "@anthropic-ai/sdk";
import { describe, expect, it } from "vitest";

import { ASK } from "../support/messages.ts";
import { CALL, CHUNKS, sse } from "../support/translation.ts";
import { join } from "./fake-provider.ts";
import { clientOf, complete } from "./messages-scene.ts";
import { poolOf, scene, setFlag, unique, until } from "./scene.ts";

/** What the official client of Anthropic's API makes of messages. */

const LOOK = { name: "look", input_schema: { type: "object" as const } };

/** A stream of which the client has read the first text. */
async function halfWay() {
  const at = await scene();
  const machine = await join(at);
  const stream = clientOf(at).messages.stream({ model: at.model, ...ASK });
  const request = await machine.next("inference_request");
  machine.accept(request);
  machine.bytes(request, `data: ${JSON.stringify(CHUNKS[1])}\n\n`);
  await new Promise((resolve) => stream.once("text", resolve));
  return { at, machine, request, stream };
}

describe("the official client", () => {
  it("reads a message", async () => {
    const at = await scene();
    const machine = await join(at);
    const pending = clientOf(at).messages.create({ model: at.model, ...ASK });
    const request = await machine.next("inference_request");
    complete(machine, request, { content: "ho" });
    const message = await pending;
    expect(message).toMatchObject({
      type: "message",
      role: "assistant",
      model: at.model,
      content: [{ type: "text", text: "ho" }],
      stop_reason: "end_turn",
      stop_sequence: null,
      usage: { input_tokens: 2, cache_read_input_tokens: 5, output_tokens: 3 },
    });
    expect(message.id).toMatch(/^msg_[0-9a-f]{32}$/);
    expect(message._request_id).toBe(request["request_id"]);
  });

  it("adds up a stream of thoughts, text and a call, and goes on with what came of the call", async () => {
    const at = await scene();
    const machine = await join(at);
    const { messages } = clientOf(at);
    const ask = { model: at.model, ...ASK, tools: [LOOK], thinking: { type: "adaptive" as const } };
    const stream = messages.stream(ask);
    const first = await machine.next("inference_request");
    machine.answer(first, new TextDecoder().decode(sse(...CHUNKS)));
    const message = await stream.finalMessage();
    expect(message).toMatchObject({
      content: [
        { type: "thinking", thinking: "hm", signature: "" },
        { type: "text", text: "é😀" },
        { type: "tool_use", id: CALL.id, name: "look", input: {} },
      ],
      stop_reason: "tool_use",
      usage: { input_tokens: 7, output_tokens: 3 },
    });
    const result = { type: "tool_result" as const, tool_use_id: CALL.id, content: "a tree" };
    const next = messages.create({
      ...ask,
      messages: [
        ...ask.messages,
        { role: "assistant", content: message.content },
        { role: "user", content: [result, { type: "text", text: "and?" }] },
      ],
    });
    const second = await machine.next("inference_request");
    expect(second["body"]).toMatchObject({
      messages: [
        { role: "user", content: "hi" },
        {
          role: "assistant",
          content: "é😀",
          tool_calls: [{ id: CALL.id, type: "function", function: { name: "look", arguments: "{}" } }],
        },
        { role: "tool", tool_call_id: CALL.id, content: "a tree" },
        { role: "user", content: "and?" },
      ],
    });
    complete(machine, second, { content: "ho" });
    expect((await next).stop_reason).toBe("end_turn");
  });

  it("throws at an error in the middle of a stream, and says which", async () => {
    const { machine, request, stream } = await halfWay();
    machine.error(request, "fault", "broke");
    await expect(stream.finalMessage()).rejects.toMatchObject({
      type: "api_error",
      errorCode: "provider_error",
      requestID: request["request_id"],
    });
  });

  it("[F7] that leaves in the middle frees the slot", async () => {
    const { at, machine, request, stream } = await halfWay();
    const ended = expect(stream.finalMessage()).rejects.toThrow("abort");
    stream.abort();
    await ended;
    expect(await machine.next("cancel")).toMatchObject({ request_id: request["request_id"] });
    machine.error(request, "cancelled", "cancelled");
    await until(async () => (await poolOf(at).report(4)).machines[0]?.inFlight === 0);
  });

  it("gets the error class of each status, with the code and the field", async () => {
    const at = await scene();
    const { messages } = clientOf(at);
    const failure = (fields: object, by = messages): Promise<unknown> =>
      by.create({ model: at.model, ...ASK, ...fields }).catch((error: unknown) => error);

    const unknown = await failure({ model: "claude-none" });
    expect(unknown).toBeInstanceOf(NotFoundError);
    expect(unknown).toMatchObject({ type: "not_found_error", errorCode: "model_not_found" });
    const denied = await failure({}, clientOf(at, { apiKey: "pk_0_0" }).messages);
    expect(denied).toBeInstanceOf(AuthenticationError);
    expect(denied).toMatchObject({ type: "authentication_error", requestID: expect.stringMatching(/^req_/) });
    const bad = await failure({ temperature: 7 });
    expect(bad).toBeInstanceOf(BadRequestError);
    expect(bad).toMatchObject({ type: "invalid_request_error", details: { param: "temperature" } });
    // No machine serves the model.
    expect(await failure({})).toMatchObject({
      status: 503,
      type: "api_error",
      errorCode: "model_unavailable",
    });
  });

  it("is refused with a RateLimitError that says why", async () => {
    const at = await scene();
    await join(at);
    await setFlag("shed_models", at.model);
    const pending = clientOf(at).messages.create({ model: at.model, ...ASK, stream: true });
    const refused: unknown = await pending.catch((error: unknown) => error);
    if (!(refused instanceof RateLimitError)) throw new Error(`not refused: ${String(refused)}`);
    expect(refused).toMatchObject({ type: "rate_limit_error", errorCode: "model_shed" });
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThanOrEqual(40);
    await setFlag("shed_models", "");
  });

  it("lists the models and finds one, aliases too", async () => {
    const alias = unique("claude");
    const at = await scene({ aliases: [alias] });
    const { models } = clientOf(at);
    const listed: string[] = [];
    for await (const { id } of models.list()) listed.push(id);
    expect(listed).toEqual(expect.arrayContaining([at.model, alias]));
    expect(await models.retrieve(alias)).toMatchObject({ id: alias, type: "model", max_input_tokens: 4096 });
    await expect(models.retrieve("none")).rejects.toBeInstanceOf(NotFoundError);
  });

  it("is told about how many tokens a prompt takes, without a machine", async () => {
    const at = await scene();
    const { messages } = clientOf(at);
    const count = async (content: string, model = at.model): Promise<number> => {
      const { input_tokens } = await messages.countTokens({ model, messages: [{ role: "user", content }] });
      return input_tokens;
    };
    const least = await count("");
    expect(least).toBeGreaterThan(0);
    // Bytes, not characters: languages that take several for each need more tokens.
    expect((await count("a".repeat(4_000))) - least).toBe(1_000);
    expect((await count("語".repeat(4_000))) - least).toBe(3_000);
    await expect(count("hi", "none")).rejects.toBeInstanceOf(NotFoundError);
  });
});
