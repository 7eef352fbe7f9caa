import { ContextOverflowError } from "@langchain/core/errors";
import { type AIMessageChunk, HumanMessage, ToolMessage, type UsageMetadata } from "@langchain/core/messages";
import { tool } from "@langchain/core/tools";
import { ChatOpenAI, type ChatOpenAIFields } from "@langchain/openai";
import { describe, expect, it } from "vitest";
import { z } from "zod";

import { useOneSlot } from "./one-slot.ts";
import { expectPatience, LONG_GRAMMAR, statusesOf, TOO_LONG, watchFetch, WHO } from "./questions.ts";

/** LangChain's ChatOpenAI. Every stream of it asks for usage; it knows both the chat and the Responses API. */

const oneSlot = useOneSlot("mac-langchain");
const { stack } = oneSlot;

/** Sampled, but always the same. */
function model({ configuration, ...fields }: ChatOpenAIFields = {}): ChatOpenAI {
  return new ChatOpenAI({
    model: "tiny-bard",
    apiKey: stack.dev.api_key,
    temperature: 0.7,
    topP: 0.9,
    modelKwargs: { seed: 7 },
    maxRetries: 0,
    configuration: { baseURL: stack.dev.base_url, ...configuration },
    ...fields,
  });
}

/** What the pieces of a stream come to. */
async function together(stream: AsyncIterable<AIMessageChunk>): Promise<AIMessageChunk> {
  let whole: AIMessageChunk | null = null;
  for await (const chunk of stream) whole = whole === null ? chunk : whole.concat(chunk);
  if (whole === null) throw new Error("the stream was empty");
  return whole;
}

const usageOf = (message: AIMessageChunk): UsageMetadata | undefined => message.usage_metadata;

const person = z.object({ name: z.string().max(12), old: z.boolean() });

const lookUp = tool(({ name }) => JSON.stringify({ name, old: name === "bard" }), {
  name: "look_up",
  description: "Tells who somebody is.",
  schema: z.object({ name: z.enum(["bard", "verse"]) }),
});

describe.each([
  ["chat", false],
  ["responses", true],
])("LangChain over the %s API", (_, useResponsesApi) => {
  const ask = () => model({ useResponsesApi });

  it("gets the same text and usage whole and streamed", async () => {
    const whole = await ask().invoke(WHO);
    expect(whole.text).toContain("Tiny Bard");
    const { input_tokens, output_tokens = 0, total_tokens } = usageOf(whole) ?? {};
    expect(output_tokens).toBeGreaterThan(3);
    expect(whole.response_metadata).toMatchObject({ model_name: "tiny-bard" });

    const streamed = await together(await ask().stream(WHO));
    expect(streamed.text).toBe(whole.text);
    expect(usageOf(streamed)).toMatchObject({ input_tokens, output_tokens, total_tokens });
  });

  it("calls a tool and goes on with what came of it, whole and streamed", async () => {
    const forced = ask().bindTools([lookUp], { tool_choice: "look_up" });
    const whole = await forced.invoke(WHO);
    const [call] = whole.tool_calls ?? [];
    if (call === undefined) throw new Error("the tool was not called");
    expect(["bard", "verse"]).toContain(call.args["name"]);

    const streamed = await together(await forced.stream(WHO));
    expect(streamed.tool_calls).toMatchObject([{ name: "look_up", args: call.args }]);

    const content = await lookUp.invoke({ name: "bard" });
    const free = ask().bindTools([lookUp], { tool_choice: "none" });
    for (const asked of [whole, streamed]) {
      const result = new ToolMessage({ content, tool_call_id: asked.tool_calls?.[0]?.id ?? "" });
      const next = await free.invoke([new HumanMessage(WHO), asked, result]);
      expect(next.text).not.toBe("");
      expect(next.tool_calls).toEqual([]);
    }
  });

  it.each(["jsonSchema", "functionCalling"] as const)("gets an object by %s", async (method) => {
    const structured = ask().withStructuredOutput(person, { name: "person", method });
    expect(await structured.invoke(WHO)).toEqual({ name: expect.any(String), old: expect.any(Boolean) });
  });

  it("[F7] frees the slot when it goes away half way", async () => {
    const abort = new AbortController();
    const long = model({ useResponsesApi, modelKwargs: { grammar: LONG_GRAMMAR } });
    let pieces = 0;
    const outcome: unknown = await (async () => {
      for await (const chunk of await long.stream(WHO, { signal: abort.signal })) {
        if (chunk.text === "") continue;
        pieces += 1;
        abort.abort();
      }
      return "a clean end";
    })().catch((error: unknown) => error);
    expect(pieces).toBeGreaterThan(0);
    expect(outcome).toBeInstanceOf(Error);
    // With one slot, this is answered only once the first request has left it.
    expect((await ask().invoke(WHO)).text).toContain("Tiny Bard");
  });

  it.each([
    ["a model that does not exist", { model: "nope" }, 404, "MODEL_NOT_FOUND"],
    ["a wrong key", { apiKey: "pk_0_0" }, 401, "MODEL_AUTHENTICATION"],
  ])("gets an error that it does not retry for %s", async (__, wrong, status, lc_error_code) => {
    const watched = watchFetch();
    const { fetch } = watched;
    const failing = model({ useResponsesApi, maxRetries: 2, configuration: { fetch }, ...wrong });
    await expect(failing.invoke(WHO)).rejects.toMatchObject({ status, lc_error_code });
    await expect(failing.stream(WHO)).rejects.toMatchObject({ status, lc_error_code });
    expect(statusesOf(watched)).toEqual([status, status]);
  });

  it("recognizes a prompt that is too long", async () => {
    await expect(ask().invoke(TOO_LONG)).rejects.toSatisfy((error) => ContextOverflowError.isInstance(error));
  });
});

it("LangChain waits as long as a 429 tells it to, then is answered", async () => {
  const watched = await oneSlot.refuseOnce();
  const patient = model({ maxRetries: 1, configuration: { fetch: watched.fetch } });
  expect((await patient.invoke(WHO)).text).toContain("Tiny Bard");
  expectPatience(watched);
});

it("LangChain throws when the machine is killed in the middle of a stream", async () => {
  const stream = await model({ modelKwargs: { grammar: LONG_GRAMMAR } }).stream(WHO);
  let pieces = 0;
  const outcome: unknown = await (async () => {
    for await (const chunk of stream) {
      if (chunk.text === "") continue;
      pieces += 1;
      oneSlot.killMachine();
    }
    return "a clean end";
  })().catch((error: unknown) => error);
  expect(pieces).toBeGreaterThan(0);
  expect(outcome).toMatchObject({ code: "provider_error" });
});
