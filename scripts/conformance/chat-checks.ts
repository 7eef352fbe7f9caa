import { z } from "zod";

import type { Check } from "./check.ts";
import { chat, eventsOf, expectShape, expectThat, jsonOf, parse, send, type Target } from "./target.ts";

/** Models and chats, as OpenAI's clients and frameworks read them. */

const HELLO = { messages: [{ role: "user", content: "Hello" }], max_tokens: 64 };

const count = z.int().min(0);
const usageSchema = z.object({ prompt_tokens: count, completion_tokens: count, total_tokens: count });
const finishSchema = z.enum(["stop", "length", "tool_calls", "content_filter"]);

const callSchema = z.object({
  id: z.string().min(1),
  type: z.literal("function"),
  function: z.object({ name: z.string(), arguments: z.string() }),
});

const completionSchema = z.object({
  id: z.string().min(1),
  object: z.literal("chat.completion"),
  created: z.int(),
  model: z.string(),
  choices: z
    .array(
      z.object({
        index: z.literal(0),
        message: z.object({
          role: z.literal("assistant"),
          content: z.string().nullable(),
          tool_calls: z.array(callSchema).optional(),
        }),
        finish_reason: finishSchema,
      }),
    )
    .length(1),
  usage: usageSchema,
});

const chunkSchema = z.object({
  id: z.string(),
  object: z.literal("chat.completion.chunk"),
  created: z.int(),
  model: z.string(),
  choices: z.array(
    z.object({
      index: z.int(),
      delta: z.object({ role: z.string().optional(), content: z.string().nullable().optional() }),
      finish_reason: finishSchema.nullish(),
    }),
  ),
  usage: usageSchema.nullish(),
});

type Chunk = z.infer<typeof chunkSchema>;

async function choiceOf(target: Target, fields: object) {
  const completion = expectShape(completionSchema, await chat(target, fields), "the completion");
  const [choice] = completion.choices;
  expectThat(choice !== undefined, "the completion has no choice");
  return { ...choice, completion };
}

/** A stream's chunks; `[DONE]` has come once, and last. */
async function chunksOf(target: Target, fields: object): Promise<Chunk[]> {
  const body = { model: target.model, ...HELLO, ...fields, stream: true };
  const events = await eventsOf(await send(target, "/chat/completions", { body }));
  expectThat(events.at(-1)?.data === "[DONE]", "the stream does not end with [DONE]");
  const chunks = events.slice(0, -1).map(({ data }) => parse(data));
  return chunks.map((chunk) => expectShape(chunkSchema, chunk, "a chunk"));
}

const TOOL = {
  type: "function",
  function: {
    name: "greet",
    description: "Greets somebody.",
    parameters: {
      type: "object",
      properties: { whom: { type: "string", enum: ["Ada", "Grace"] } },
      required: ["whom"],
      additionalProperties: false,
    },
  },
};
const argumentsSchema = z.strictObject({ whom: z.enum(["Ada", "Grace"]) });

async function forcedCall(target: Target) {
  const fields = { ...HELLO, max_tokens: 256, tools: [TOOL], tool_choice: "required" };
  const { message } = await choiceOf(target, fields);
  const [call] = message.tool_calls ?? [];
  expectThat(call !== undefined, "tool_choice: required, and no tool was called");
  expectThat(call.function.name === "greet", `it calls ${call.function.name}, which was not offered`);
  expectShape(argumentsSchema, parse(call.function.arguments), "the arguments of the call");
  return call;
}

async function modelIsListed(target: Target): Promise<void> {
  const list = z.object({
    object: z.literal("list"),
    data: z.array(
      z.object({ id: z.string(), object: z.literal("model"), created: z.int(), owned_by: z.string() }),
    ),
  });
  const { data } = expectShape(list, await jsonOf(await send(target, "/models"), 200), "the list");
  expectThat(
    data.some(({ id }) => id === target.model),
    `${target.model} is not in the list`,
  );
}

async function streamIsWhole(target: Target): Promise<void> {
  const chunks = await chunksOf(target, {});
  for (const field of ["id", "created", "model"] as const) {
    expectThat(new Set(chunks.map((chunk) => chunk[field])).size === 1, `chunks differ in ${field}`);
  }
  const deltas = chunks.flatMap(({ choices }) => choices);
  expectThat(deltas[0]?.delta.role === "assistant", "the first delta has no role");
  const ends = deltas.filter(({ finish_reason }) => finish_reason != null);
  expectThat(ends.length === 1, `${ends.length} chunks have a finish_reason`);
  const text = deltas.map(({ delta }) => delta.content ?? "").join("");
  expectThat(text !== "", "the stream has no content");
}

async function usageIsLast(target: Target): Promise<void> {
  const chunks = await chunksOf(target, { stream_options: { include_usage: true } });
  const last = chunks.at(-1);
  expectThat(last?.usage != null && last.choices.length === 0, "the last chunk is not usage without choices");
  expectThat(
    chunks.slice(0, -1).every(({ usage }) => usage == null),
    "an earlier chunk has usage",
  );
  const bare = await chunksOf(target, {});
  expectThat(
    bare.every(({ choices }) => choices.length > 0),
    "a chunk without choices, though no usage was asked for",
  );
}

/** As many as small servers have slots; one that keeps the slots of those who leave has none left for the next. */
const LEAVERS = 8;

async function abortFreesTheServer(target: Target): Promise<void> {
  const body = { model: target.model, ...HELLO, stream: true };
  for (let left = 0; left < LEAVERS; left += 1) {
    const leaving = new AbortController();
    const response = await send(target, "/chat/completions", { body, signal: leaving.signal });
    expectThat(response.status === 200, `status ${response.status} instead of 200`);
    leaving.abort();
  }
  await choiceOf(target, HELLO);
}

async function toolResultIsHeard(target: Target): Promise<void> {
  const call = await forcedCall(target);
  const messages = [
    ...HELLO.messages,
    { role: "assistant", content: null, tool_calls: [call] },
    { role: "tool", tool_call_id: call.id, content: "done" },
  ];
  const { message } = await choiceOf(target, { ...HELLO, messages, tools: [TOOL], tool_choice: "none" });
  expectThat(message.tool_calls === undefined, "tool_choice: none, and a tool was called");
  expectThat(typeof message.content === "string", "the turn after a call has no text");
}

async function schemaIsKept(target: Target): Promise<void> {
  const { parameters: schema } = TOOL.function;
  const response_format = { type: "json_schema", json_schema: { name: "greeting", strict: true, schema } };
  const { message } = await choiceOf(target, { ...HELLO, max_tokens: 256, response_format });
  expectShape(argumentsSchema, parse(message.content ?? ""), "the answer by a schema");
}

export const CHAT_CHECKS: readonly Check[] = [
  { id: "models.list", rule: "the list has the model, in OpenAI's shape", run: modelIsListed },
  {
    id: "models.one",
    rule: "a model can be read by its id",
    async run(target) {
      const one = await jsonOf(await send(target, `/models/${target.model}`), 200);
      expectShape(z.object({ id: z.literal(target.model), object: z.literal("model") }), one, "the model");
    },
  },
  {
    id: "chat.whole",
    rule: "an answer is a chat.completion with one choice, and usage that adds up",
    async run(target) {
      const { message, completion } = await choiceOf(target, HELLO);
      expectThat((message.content ?? "") !== "", "the answer is empty");
      expectThat(
        completion.model === target.model,
        `model is ${completion.model}, not the name that was asked for`,
      );
      const { prompt_tokens, completion_tokens, total_tokens } = completion.usage;
      expectThat(prompt_tokens + completion_tokens === total_tokens, "the tokens do not add up");
    },
  },
  {
    id: "chat.stream",
    rule: "a stream has one id, a role first, one finish_reason and [DONE]",
    run: streamIsWhole,
  },
  {
    id: "chat.stream.usage",
    rule: "usage comes last, without choices, and only if it is asked for",
    run: usageIsLast,
  },
  {
    id: "chat.length",
    rule: "max_tokens and max_completion_tokens end an answer with the finish_reason length",
    async run(target) {
      for (const field of ["max_tokens", "max_completion_tokens"]) {
        const { finish_reason, completion } = await choiceOf(target, {
          messages: HELLO.messages,
          [field]: 1,
        });
        expectThat(finish_reason === "length", `${field}: 1 ends with ${finish_reason}`);
        expectThat(completion.usage.completion_tokens <= 1, `${field}: 1 gives more than one token`);
      }
    },
  },
  {
    id: "chat.parts",
    rule: "content may be a list of text parts, and a developer may speak",
    async run(target) {
      const content = [{ type: "text", text: "Hello" }];
      const messages = [
        { role: "developer", content: "Be brief." },
        { role: "user", content },
      ];
      await choiceOf(target, { ...HELLO, messages });
    },
  },
  {
    id: "chat.unknown-field",
    rule: "fields that the server does not know do no harm",
    run: async (target) => void (await choiceOf(target, { ...HELLO, user: "u", metadata: {}, x_unknown: 1 })),
  },
  {
    id: "chat.tool",
    rule: "a tool that must be called is, with arguments by its schema",
    run: async (target) => void (await forcedCall(target)),
  },
  { id: "chat.tool.result", rule: "the turn after a call takes what came of it", run: toolResultIsHeard },
  { id: "chat.schema", rule: "response_format json_schema is kept to", run: schemaIsKept },
  {
    id: "chat.abort",
    rule: "clients that leave take nothing from the next one",
    run: abortFreesTheServer,
  },
];
