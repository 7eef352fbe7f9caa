import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, generateText, isStepCount, Output, RetryError, streamText, tool } from "ai";
import { describe, expect, it } from "vitest";
import { z } from "zod";

import { useOneSlot } from "./one-slot.ts";
import { expectPatience, LONG_GRAMMAR, statusesOf, TOO_LONG, watchFetch, WHO } from "./questions.ts";

/** The Vercel AI SDK, as its users point it at any OpenAI-compatible server. */

const oneSlot = useOneSlot("mac-ai-sdk");
const { stack } = oneSlot;

function model(
  id: string,
  { apiKey = stack.dev.api_key, fetch }: { apiKey?: string; fetch?: typeof globalThis.fetch } = {},
) {
  const provider = createOpenAICompatible({
    name: "poolkeeper",
    baseURL: stack.dev.base_url,
    apiKey,
    includeUsage: true,
    supportsStructuredOutputs: true,
    ...(fetch === undefined ? {} : { fetch }),
  });
  return provider(id);
}

/** Sampled, but always the same. */
const ask = () => ({ model: model("tiny-bard"), temperature: 0.7, topP: 0.9, seed: 7, maxRetries: 0 });

const LONG = { poolkeeper: { grammar: LONG_GRAMMAR } };

const person = z.object({ name: z.string().max(12), old: z.boolean() });

const look_up = tool({
  description: "Tells who somebody is.",
  inputSchema: z.object({ name: z.enum(["bard", "verse"]) }),
  execute: ({ name }) => ({ name, old: name === "bard" }),
});

/** The function in the first step, whatever the model likes in the second. */
const tools = {
  tools: { look_up },
  stopWhen: isStepCount(2),
  prepareStep: ({ stepNumber }: { stepNumber: number }) => ({
    toolChoice: stepNumber === 0 ? ({ type: "tool", toolName: "look_up" } as const) : ("none" as const),
  }),
};

describe("the AI SDK", () => {
  it("gets the same text and usage whole and streamed", async () => {
    const whole = await generateText({ ...ask(), prompt: WHO });
    expect(whole.text).toContain("Tiny Bard");
    expect(whole).toMatchObject({ finishReason: "stop", warnings: [], response: { modelId: "tiny-bard" } });
    expect(whole.usage.outputTokens).toBeGreaterThan(3);

    const stream = streamText({ ...ask(), prompt: WHO });
    const pieces: string[] = [];
    for await (const piece of stream.textStream) pieces.push(piece);
    expect(pieces.join("")).toBe(whole.text);
    expect(pieces.length).toBeGreaterThan(1);
    expect(await stream.finishReason).toBe("stop");
    expect(await stream.usage).toMatchObject({
      inputTokens: whole.usage.inputTokens,
      outputTokens: whole.usage.outputTokens,
    });
  });

  it("is told when the tokens ran out", async () => {
    const { finishReason, usage } = await generateText({ ...ask(), prompt: WHO, maxOutputTokens: 3 });
    expect(finishReason).toBe("length");
    expect(usage.outputTokens).toBe(3);
  });

  it("calls a tool and goes on with what came of it, whole and streamed", async () => {
    const whole = await generateText({ ...ask(), ...tools, prompt: WHO });
    const [first, second] = whole.steps;
    expect(whole.steps).toHaveLength(2);
    expect(first?.finishReason).toBe("tool-calls");
    expect(first?.toolResults).toMatchObject([{ toolName: "look_up", output: { old: expect.any(Boolean) } }]);
    expect(second?.finishReason).toBe("stop");
    expect(second?.text).not.toBe("");

    const streamed = await streamText({ ...ask(), ...tools, prompt: WHO }).steps;
    expect(streamed.map(({ toolCalls }) => toolCalls.map(({ input }) => input))).toEqual(
      whole.steps.map(({ toolCalls }) => toolCalls.map(({ input }) => input)),
    );
    expect(streamed[1]?.text).toBe(second?.text);
  });

  it("gets an object of its schema, whole and streamed", async () => {
    const output = Output.object({ schema: person });
    const whole = await generateText({ ...ask(), prompt: WHO, output });
    expect(whole.output).toEqual({ name: expect.any(String), old: expect.any(Boolean) });
    expect(await streamText({ ...ask(), prompt: WHO, output }).output).toEqual(whole.output);
  });

  it("[F7] frees the slot when it goes away half way", async () => {
    const abort = new AbortController();
    const { stream } = streamText({
      ...ask(),
      prompt: WHO,
      abortSignal: abort.signal,
      providerOptions: LONG,
    });
    const types: string[] = [];
    for await (const { type } of stream) {
      types.push(type);
      if (type === "text-delta") abort.abort();
    }
    expect(types).toContain("text-delta");
    expect(types.at(-1)).toBe("abort");
    // With one slot, this is answered only once the first request has left it.
    expect((await generateText({ ...ask(), prompt: WHO })).text).toContain("Tiny Bard");
  });

  it.each([
    ["a model that does not exist", "nope", {}, 404, "model_not_found"],
    ["a wrong key", "tiny-bard", { apiKey: "pk_0_0" }, 401, "invalid_api_key"],
  ])("gets an error that it does not retry for %s", async (_, id, key, statusCode, code) => {
    const watched = watchFetch();
    const wrong = model(id, { ...key, fetch: watched.fetch });
    const prompt = { ...ask(), model: wrong, prompt: WHO, maxRetries: 2 };
    const caught: unknown = await generateText(prompt).catch((error: unknown) => error);
    expect(APICallError.isInstance(caught)).toBe(true);
    expect(caught).toMatchObject({ statusCode, isRetryable: false, data: { error: { code } } });

    const errors: unknown[] = [];
    const { stream } = streamText({ ...prompt, onError: ({ error }) => void errors.push(error) });
    for await (const part of stream) if (part.type === "error") errors.push(part.error);
    expect(errors).toMatchObject([{ statusCode }, { statusCode }]);
    expect(statusesOf(watched)).toEqual([statusCode, statusCode]);
  });

  it("gets an error for a prompt that is too long", async () => {
    await expect(generateText({ ...ask(), prompt: TOO_LONG })).rejects.toMatchObject({
      statusCode: 400,
      data: { error: { code: "context_length_exceeded", type: "invalid_request_error" } },
    });
  });

  it("waits as long as a 429 tells it to, then is answered", async () => {
    const watched = await oneSlot.refuseOnce();
    const patient = { ...ask(), model: model("tiny-bard", { fetch: watched.fetch }), maxRetries: 1 };
    expect((await generateText({ ...patient, prompt: WHO })).text).toContain("Tiny Bard");
    expectPatience(watched);
  });

  it("gets an error for a stream whose machine is killed in the middle", async () => {
    const { stream } = streamText({ ...ask(), prompt: WHO, providerOptions: LONG, onError: () => undefined });
    const types = new Set<string>();
    const ends: unknown[] = [];
    for await (const part of stream) {
      types.add(part.type);
      if (part.type === "text-delta") oneSlot.killMachine();
      if (part.type === "error") ends.push(part.error);
      if (part.type === "finish") ends.push(part.finishReason);
    }
    expect(types).toContain("text-delta");
    expect(ends).toMatchObject([{ code: "provider_error" }, "error"]);
  });

  it("gives up on a pool that stays full with an error that says so", async () => {
    await stack.admin.setFlag("shed_models", "tiny-bard");
    const caught: unknown = await generateText({ ...ask(), prompt: WHO }).catch((error: unknown) => error);
    expect(RetryError.isInstance(caught) ? caught.lastError : caught).toMatchObject({
      statusCode: 429,
      isRetryable: true,
      responseHeaders: { "retry-after": expect.stringMatching(/^[456]\d$/), "x-pool-reason": "model_shed" },
    });
  });
});
