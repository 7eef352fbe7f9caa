import { describe, expect, it } from "vitest";

import {
  chatFieldOf as messagesFieldOf,
  messagesRequestSchema,
} from "../../worker/anthropic/messages-request.ts";
import { type FieldOf, renameField } from "../../worker/openai/chat-fields.ts";
import { chatFieldOf as completionFieldOf } from "../../worker/openai/completion-request.ts";
import {
  chatFieldOf as responsesFieldOf,
  responsesRequestSchema,
} from "../../worker/openai/responses-request.ts";
import { validate } from "../../worker/validate.ts";
import { ASK } from "../support/messages.ts";
import { join } from "./fake-provider.ts";
import { scene } from "./scene.ts";
import { post } from "./translation-scene.ts";

const SCHEMA = { type: "object", properties: {} };
const FORMAT = { type: "json_schema", schema: SCHEMA };

const MESSAGE = {
  ...ASK,
  tools: [
    { type: "web_search_20250305", name: "web_search" },
    { name: "look", input_schema: SCHEMA },
    { name: "hear", input_schema: SCHEMA },
  ],
  output_config: { format: FORMAT, effort: "low" },
};
const RESPONSE = {
  input: "hi",
  tools: [
    { type: "web_search" },
    { type: "function", name: "look", parameters: SCHEMA },
    { type: "namespace", name: "mcp", tools: [{ type: "function", name: "hear", parameters: SCHEMA }] },
    { type: "custom", name: "say", format: { type: "grammar", syntax: "regex", definition: "a+" } },
  ],
  tool_choice: {
    type: "allowed_tools",
    tools: [
      { type: "namespace", name: "mcp" },
      { type: "custom", name: "say" },
    ],
  },
};

it("a field is not taken for another whose name begins alike", () => {
  const names = [["stop", "stop_sequences"]] as const;
  const renamed = ["stop", "stop[0]", "stop.at", "stop_after", "stop_after.at", "top.stop"].map((field) =>
    renameField(field, names),
  );
  expect(renamed).toEqual([
    "stop_sequences",
    "stop_sequences[0]",
    "stop_sequences.at",
    "stop_after",
    "stop_after.at",
    "top.stop",
  ]);
});

describe("a field of the chat is in the client's words", () => {
  const FIELD_OF: Readonly<Record<string, (json: object) => FieldOf>> = {
    "/v1/messages": (json) => messagesFieldOf(validate(messagesRequestSchema, json)),
    "/v1/responses": (json) => responsesFieldOf(validate(responsesRequestSchema, json)),
    "/v1/completions": () => completionFieldOf,
  };

  it.each([
    ["/v1/messages", MESSAGE, "max_completion_tokens", "max_tokens"],
    ["/v1/messages", MESSAGE, "stop[1]", "stop_sequences[1]"],
    ["/v1/messages", MESSAGE, "reasoning_effort", "output_config.effort"],
    ["/v1/messages", MESSAGE, "messages[3]", "messages"],
    ["/v1/messages", MESSAGE, "tools[1]", "tools[2]"],
    ["/v1/messages", MESSAGE, "tools[0].function.name", "tools[1].name"],
    [
      "/v1/messages",
      MESSAGE,
      "tools[1].function.parameters.properties.a",
      "tools[2].input_schema.properties.a",
    ],
    ["/v1/messages", MESSAGE, "response_format.json_schema.schema", "output_config.format.schema"],
    ["/v1/messages", { ...ASK, output_format: FORMAT }, "response_format", "output_format"],
    [
      "/v1/messages",
      { ...ASK, output_format: FORMAT },
      "response_format.json_schema.name",
      "output_format.name",
    ],
    ["/v1/messages", MESSAGE, "response_format", "output_config.format"],
    ["/v1/messages", MESSAGE, "models[0]", "models[0]"],
    ["/v1/messages", { ...ASK, fallbacks: [{ model: "a" }] }, "models[0]", "fallbacks[0].model"],
    ["/v1/messages", MESSAGE, "messages", "messages"],
    ["/v1/messages", MESSAGE, "top_k", "top_k"],
    ["/v1/responses", RESPONSE, "max_completion_tokens", "max_output_tokens"],
    ["/v1/responses", RESPONSE, "reasoning_effort", "reasoning.effort"],
    ["/v1/responses", RESPONSE, "messages[3].content", "input"],
    ["/v1/responses", RESPONSE, "tools[0].function.parameters.type", "tools[2].tools[0].parameters.type"],
    ["/v1/responses", RESPONSE, "tools[1].function.parameters.properties.input", "tools[3].format"],
    ["/v1/responses", RESPONSE, "response_format.json_schema.schema", "text.format.schema"],
    ["/v1/responses", RESPONSE, "response_format", "text.format"],
    ["/v1/responses", RESPONSE, "tools[0].function.name", "tools[2].tools[0].name"],
    ["/v1/responses", RESPONSE, "tools[1]", "tools[3]"],
    ["/v1/responses", RESPONSE, "messages", "input"],
    ["/v1/responses", RESPONSE, "messages_in", "messages_in"],
    ["/v1/responses", RESPONSE, "my.messages", "my.messages"],
    ["/v1/responses", RESPONSE, "stop", "stop"],
    ["/v1/completions", { prompt: "hi" }, "messages[0].content", "prompt"],
    ["/v1/completions", { prompt: "hi" }, "max_tokens", "max_tokens"],
  ])("of %s: %#", (path, fields, chatField, own) => {
    expect(FIELD_OF[path]?.({ model: "m", ...fields })(chatField)).toBe(own);
  });
});

describe("a machine's refusal names the field that the client has sent:", () => {
  it.each([
    ["/v1/messages", MESSAGE, "max_completion_tokens", "max_tokens"],
    ["/v1/responses", RESPONSE, "reasoning_effort", "reasoning.effort"],
    ["/v1/completions", { prompt: "hi" }, "messages[0].content", "prompt"],
  ])("%s", async (path, fields, chatField, own) => {
    const at = await scene();
    const machine = await join(at);
    const pending = post(at, fields, path);
    const request = await machine.next("inference_request");
    machine.error(request, "client", "unsupported", `${chatField}: is not done here`);
    const response = await pending;
    expect(response.status).toBe(400);
    expect(response.headers.get("x-pool-attempts")).toBe("1");
    const { error } = await response.json<{ error: Record<string, unknown> }>();
    expect(error).toMatchObject({ message: `Unsupported parameter: ${own}: is not done here` });
    expect(error["details"] ?? error).toMatchObject({ param: own });
  });

  it("and so does what is refused of the chat before a machine hears of it", async () => {
    const at = await scene();
    const tools = [{ type: "web_search" }, { type: "function", name: "a b" }];
    const { error } = await (
      await post(at, { input: "hi", tools })
    ).json<{ error: { param: string; message: string } }>();
    expect(error.param).toBe("tools[1].name");
    expect(error.message).toMatch(/^tools\[1\]\.name: must have/);
  });

  it("and one that is about no field stays as it is", async () => {
    const at = await scene();
    const machine = await join(at);
    const pending = post(at, ASK, "/v1/messages");
    machine.error(await machine.next("inference_request"), "client", "invalid_request", "told to fail");
    expect(await (await pending).json()).toMatchObject({
      error: { message: "told to fail", details: { param: null } },
    });
  });
});
