import {
  type ChatWrapper,
  HarmonyChatWrapper,
  JinjaTemplateChatWrapper,
  LlamaContextSequence,
  QwenChatWrapper,
  type SequenceEvaluateOptions,
  type Token,
} from "node-llama-cpp";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";

import { parseAnswerForm } from "../../provider/src/chat/answer-form.ts";
import type { ChatEvent } from "../../provider/src/engine.ts";
import { createAnswerWriter } from "../../provider/src/engines/answer-writer.ts";
import { runChat } from "../../provider/src/engines/llama-chat.ts";
import {
  hasOptionalProperties,
  toFunctions,
  withoutAbsent,
} from "../../provider/src/engines/llama-functions.ts";
import type { ChatHost, LlamaHost } from "../../provider/src/engines/llama-host.ts";
import { loadLlama } from "../../provider/src/engines/llama-loader.ts";
import { withReasoningEffort } from "../../provider/src/engines/reasoning-effort.ts";
import { parseJsonSchema } from "../../provider/src/schema/json-schema.ts";
import { failure, tool } from "./engine-questions.ts";

/**
 * What larger models do of their own accord: call tools, and think. The tiny ones never do, so the beginning is put into
 * their mouth, token by token; a tool's name and arguments they then choose themselves, under the library's grammars.
 */

const draw = LlamaContextSequence.prototype.evaluate;
let prompted: Token[] = [];

async function* drawPrompted(
  this: LlamaContextSequence,
  tokens: Token[],
  options?: SequenceEvaluateOptions,
): AsyncGenerator<Token, void, void | Token | Token[]> {
  const source = draw.call(this, tokens, options);
  let replacement: void | Token | Token[] = undefined;
  try {
    for (;;) {
      const next = await source.next(replacement);
      if (next.done === true) return;
      const token: Token = prompted.shift() ?? next.value;
      const answered: void | Token | Token[] = yield token;
      replacement = answered ?? token;
    }
  } finally {
    await source.return();
  }
}

let loaded: LlamaHost;
let host: ChatHost;
beforeAll(async () => {
  LlamaContextSequence.prototype.evaluate = drawPrompted;
  const path = new URL("../../models/tiny-bard.gguf", import.meta.url).pathname;
  const order = { slots: 1, contextTokens: 1024, threads: 1, gpu: false, sliceTokens: 256 };
  const report = { onProgress: () => undefined, onLog: () => undefined };
  loaded = await loadLlama({ type: "load", path, ...order }, report, new AbortController().signal);
  if (loaded.chats === null) throw new Error("a chat model cannot chat");
  host = loaded.chats;
});
afterEach(() => {
  prompted = [];
});
afterAll(async () => {
  LlamaContextSequence.prototype.evaluate = draw;
  await loaded.dispose();
});

async function answer(beginning: string, body: Record<string, unknown>, on: ChatHost = host) {
  prompted = [...host.model.tokenize(beginning)];
  const events: ChatEvent[] = [];
  const result = await runChat(
    on,
    { messages: [{ role: "user", content: "How is the weather?" }], seed: 5, ...body },
    {
      emit: (event) => void events.push(event),
      signal: new AbortController().signal,
      mayGoOn: async () => undefined,
    },
  );
  const textOf = (type: ChatEvent["type"]) =>
    events.map((event) => (event.type === type && "text" in event ? event.text : "")).join("");
  return {
    events,
    result,
    content: textOf("content"),
    reasoning: textOf("reasoning"),
    args: textOf("tool_arguments"),
  };
}

const city = { type: "string", maxLength: 20, description: "where" };
const unit = { enum: ["c", "f"] };
const weather = (required: string[]) =>
  tool("get_weather", { type: "object", properties: { city, unit }, required });

describe("a call that the model makes of its own accord", () => {
  it("is told piece by piece after the text before it", async () => {
    const { events, content, args, result } = await answer("Well. ||call:", {
      tools: [weather(["city", "unit"])],
    });
    expect(content.trim()).toBe("Well.");
    const calls = events.filter(({ type }) => type === "tool_call");
    expect(calls).toMatchObject([{ index: 0, name: "get_weather" }]);
    expect(events.filter(({ type }) => type === "tool_arguments").length).toBeGreaterThan(1);
    expect(Object.keys(JSON.parse(args) as object)).toStrictEqual(["city", "unit"]);
    expect(args).toBe(args.trim());
    expect(result.finishReason).toBe("tool_calls");
  });

  it("does not hold optional arguments that the model left open", async () => {
    const flag = { type: "boolean" };
    const properties = { a: flag, b: flag, c: flag, d: flag };
    const tools = [tool("set_flags", { type: "object", properties, required: ["a"] })];
    const sizes = new Set<number>();
    for (const seed of [1, 2, 3, 4, 5, 6, 7, 8]) {
      const { args } = await answer("||call:", { tools, seed, temperature: 2 });
      const flags = Object.values(JSON.parse(args) as Record<string, unknown>);
      expect(flags.every((value) => typeof value === "boolean")).toBe(true);
      sizes.add(flags.length);
    }
    // Had the model left none open, this would have shown nothing.
    expect(Math.min(...sizes)).toBeLessThan(4);
  });

  it("has an empty object for a function that takes nothing", async () => {
    const { events, result } = await answer("||call:", { tools: [tool("get_time", undefined)] });
    expect(events).toMatchObject([
      { type: "tool_call", index: 0, name: "get_time" },
      { type: "tool_arguments", index: 0, text: "{}" },
    ]);
    expect(result.finishReason).toBe("tool_calls");
  });

  it("is cut off by the limit like any other answer", async () => {
    const { result } = await answer("||call:", { tools: [weather(["city", "unit"])], max_tokens: 12 });
    expect(result.finishReason).toBe("length");
    expect(result.usage.completionTokens).toBe(12);
  });

  it("need not be made", async () => {
    const { events, result } = await answer("", { tools: [weather(["city"])] });
    expect(events.every(({ type }) => type === "content")).toBe(true);
    expect(result.finishReason).toBe("stop");
  });
});

describe("an answer that is JSON or a call", () => {
  const schema = { type: "object", properties: { name: { enum: ["look"] } }, required: ["name"] };
  const body = {
    tools: [tool("look", { type: "object", properties: { far: { type: "boolean" } }, required: ["far"] })],
    response_format: { type: "json_schema", json_schema: { name: "x", schema } },
    // Within the arguments it would only break the JSON.
    stop: ['"'],
  };

  const chunkOf = (text: string) => ({ type: undefined, segmentType: undefined, text, tokens: [] });

  it("is what the model begins", async () => {
    const kinds = new Set<string>();
    for (let seed = 1; seed <= 40 && kinds.size < 2; seed += 1) {
      const { events, args, content, result } = await answer("", { ...body, seed, temperature: 2 });
      const kind = result.finishReason;
      kinds.add(kind);
      expect(kind === "stop" ? args : content).toBe("");
      expect(events[0]?.type).toBe(kind === "stop" ? "content" : "tool_call");
      const said = JSON.parse(kind === "stop" ? content : args) as Record<string, unknown>;
      expect(Object.keys(said)).toStrictEqual([kind === "stop" ? "name" : "far"]);
    }
    expect(kinds).toStrictEqual(new Set(["stop", "tool_calls"]));
  });

  it.each(['call {"name": "look", "arguments": {"far":true}}', '{"name": "look", "arguments": {}}', "[]"])(
    "is told as such, whether whole or cut off, wherever the pieces break: %s",
    (text) => {
      const isCall = text.startsWith("call ");
      for (let size = 1; size <= text.length; size += 1) {
        for (const complete of [true, false]) {
          const events: ChatEvent[] = [];
          const form = parseAnswerForm(body);
          const writer = createAnswerWriter(
            form,
            () => "call_1",
            (event) => void events.push(event),
          );
          for (let at = 0; at < text.length; at += size) {
            writer.text(chunkOf(text.slice(at, at + size)));
          }
          expect(writer.end(complete)).toBe(isCall);
          const said = events.map((event) => ("text" in event ? event.text : event.name)).join("");
          expect(said).toBe(isCall ? `look{"far":true}${complete ? "" : "}"}` : text);
          expect(events.every(({ type }) => (type === "content") !== isCall)).toBe(true);
        }
      }
    },
  );

  it("is nothing if it was cut off before it was either", () => {
    const events: ChatEvent[] = [];
    const writer = createAnswerWriter(
      parseAnswerForm(body),
      () => "call_1",
      (event) => void events.push(event),
    );
    writer.text(chunkOf("cal"));
    expect(writer.end(false)).toBe(false);
    expect(events).toStrictEqual([]);
  });
});

describe("a model that thinks", () => {
  const thinking = (): ChatHost => ({ ...host, chatWrapper: new QwenChatWrapper() });

  it("has its thoughts told apart from its answer, and counted", async () => {
    const { events, reasoning, content, result } = await answer(
      "<think>\nHm, hm.\n</think>\n\nIt is",
      {},
      thinking(),
    );
    expect(reasoning).toBe("Hm, hm.");
    expect(content).toMatch(/^It is/);
    const kinds = events.map(({ type }) => type);
    expect(kinds.lastIndexOf("reasoning")).toBeLessThan(kinds.indexOf("content"));
    expect(result.usage.reasoningTokens).toBeGreaterThan(0);
    expect(result.usage.completionTokens).toBeGreaterThan(result.usage.reasoningTokens ?? 0);
  });

  it("says that it was cut off while it thought", async () => {
    const { content, reasoning, result } = await answer(
      "<think>\nHm, hm, hm, hm, hm.",
      { max_tokens: 8 },
      thinking(),
    );
    expect(reasoning).not.toBe("");
    expect(content).toBe("");
    expect(result.finishReason).toBe("length");
  });
});

describe("the effort a request asks for", () => {
  const rendered = (wrapper: ChatWrapper): string =>
    wrapper.generateContextState({ chatHistory: [{ type: "user", text: "Hi" }] }).contextText.toString();

  it.each([
    ["high", "high"],
    ["medium", "medium"],
    ["low", "low"],
    ["minimal", "low"],
    ["xhigh", "high"],
    ["max", "high"],
  ])("reaches gpt-oss: %s as %s", (asked, told) => {
    const wrapper = new HarmonyChatWrapper({
      modelIdentity: "You are Bard.",
      todayDate: new Date("2026-01-02"),
    });
    const text = rendered(withReasoningEffort(wrapper, asked));
    expect(text).toContain(`Reasoning: ${told}`);
    expect(text.replace(/Reasoning: \w+/, "")).toBe(rendered(wrapper).replace(/Reasoning: \w+/, ""));
  });

  it("leaves other templates alone", () => {
    const wrapper = new QwenChatWrapper();
    expect(withReasoningEffort(wrapper, "high")).toBe(wrapper);
  });
});

describe("the functions offered to the library", () => {
  const functionsOf = (...tools: unknown[]) => {
    const form = parseAnswerForm({ tools });
    return form.type === "tools" ? toFunctions(form.tools) : {};
  };

  it("offer optional arguments as null, and keep what is said about them", () => {
    expect(functionsOf(weather(["unit"]))).toStrictEqual({
      get_weather: {
        description: "does get_weather",
        params: {
          type: "object",
          properties: {
            city: {
              oneOf: [{ type: "string", minLength: 0, maxLength: 20 }, { type: "null" }],
              description: "where",
            },
            unit: { enum: ["c", "f"] },
          },
          additionalProperties: false,
        },
      },
    });
  });

  it("refer to their definitions", () => {
    const node = { type: "object", properties: { next: { $ref: "#/definitions/node" } } };
    const { f } = functionsOf(tool("f", { ...node, definitions: { node } }));
    expect(f?.params).toMatchObject({ oneOf: [{ type: "object" }], $defs: { d0: { type: "object" } } });
    expect(JSON.stringify(f?.params)).toContain("#/$defs/d0");
  });

  it("take their nulls back only where nothing else was meant", () => {
    const schema = parseJsonSchema(
      {
        type: "object",
        properties: {
          must: { type: ["string", "null"] },
          may: { type: "string" },
          list: { type: "array", items: { type: "object", properties: { x: {}, y: {} }, required: ["x"] } },
          deep: { anyOf: [{ type: "object", properties: { z: {} } }, { type: "null" }] },
        },
        required: ["must", "list"],
      },
      { strict: false, where: "schema" },
    );
    expect(hasOptionalProperties(schema)).toBe(true);
    const written = { must: null, may: null, list: [{ x: null, y: null }, null], deep: { z: null } };
    expect(withoutAbsent(written, schema)).toStrictEqual({ must: null, list: [{ x: null }, null], deep: {} });
  });
});

describe("a template that takes only turns in which user and assistant alternate, as Gemma's", () => {
  const template = `{%- for message in messages -%}
    {%- if (message.role == 'user') != (loop.index0 % 2 == 0) -%}{{- raise_exception('Roles must alternate') -}}{%- endif -%}
    {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' -}}
    {%- endfor -%}{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}`;
  const said = (...roles: string[]) => ({
    messages: roles.map((role) => ({ role, content: "Hi" })),
    max_tokens: 1,
  });

  it("refuses a conversation that the assistant begins as the client's fault, and says why", async () => {
    const strict = { ...host, chatWrapper: new JinjaTemplateChatWrapper({ template }) };
    const refused = await failure(answer("", said("assistant", "user"), strict));
    expect(refused).toMatchObject({ class: "client", code: "invalid_request" });
    expect(refused.message).toMatch(/^messages: .*Roles must alternate/);
    const { result } = await answer("", said("user", "user", "assistant", "user"), strict);
    expect(result.finishReason).toBe("length");
  });
});

it("refuses functions whose grammars would take long to compile together", async () => {
  const properties = Object.fromEntries(Array.from({ length: 1000 }, (_, index) => [`p${index}`, {}]));
  const tools = Array.from({ length: 12 }, (_, index) => tool(`f${index}`, { type: "object", properties }));
  const asked = answer("", { tools, tool_choice: "required" }, { ...host, contextTokens: 1_000_000 });
  await expect(asked).rejects.toMatchObject({ class: "client", code: "invalid_request" });
  await expect(asked).rejects.toThrow("tools: the schemas are too large together");
});
