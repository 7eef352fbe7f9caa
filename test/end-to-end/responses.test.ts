import { APIError } from "openai";
import type { Response, ResponseInputItem, Tool } from "openai/resources/responses/responses";
import { ResponsesWS } from "openai/resources/responses/ws";
import { describe, expect, it } from "vitest";

import { useOneSlot } from "./one-slot.ts";
import { LONG_GRAMMAR } from "./questions.ts";

/** The Responses and the legacy Completions API through real processes, a real model and the official client. */

/** Sampled, but always the same. The seed is our engine's, not of this API. */
const sampled = { model: "tiny-bard", temperature: 0.7, top_p: 0.9, seed: 7 };
const introduce = { ...sampled, input: "Who are you?" };

const schema = {
  type: "object",
  properties: { name: { type: "string", maxLength: 12 }, old: { type: "boolean" } },
  required: ["name", "old"],
  additionalProperties: false,
};

const { stack } = useOneSlot("mac-responses");

/** How the next turn ends, in which the model hears what it called and what came of it. */
async function statusAfter(callAndOutput: readonly ResponseInputItem[], tools: Tool[]) {
  const question = { role: "user" as const, content: "Who are you?" };
  const input = [question, ...callAndOutput];
  return (await stack.client().responses.create({ ...sampled, input, tools, tool_choice: "none" })).status;
}

describe("the official client's responses", () => {
  it("are the same whole, streamed and through the stream helper", async () => {
    const { responses } = stack.client();
    const whole = await responses.create(introduce);
    expect(whole.output_text).toContain("Tiny Bard");
    expect(whole).toMatchObject({ status: "completed", model: "tiny-bard", store: false });
    expect(whole.usage?.output_tokens).toBeGreaterThan(3);

    let text = "";
    const types: string[] = [];
    const sequence: number[] = [];
    for await (const event of await responses.create({ ...introduce, stream: true })) {
      if (event.type === "response.output_text.delta") text += event.delta;
      types.push(event.type);
      sequence.push(event.sequence_number);
    }
    expect(text).toBe(whole.output_text);
    expect(types.slice(0, 2)).toEqual(["response.created", "response.in_progress"]);
    expect(types.at(-1)).toBe("response.completed");
    expect(sequence).toEqual([...sequence.keys()]);

    const final = await responses.stream(introduce).finalResponse();
    expect(final.output_text).toBe(whole.output_text);
    expect(final.usage?.output_tokens).toBe(whole.usage?.output_tokens);
    // The prompt is still in the one slot.
    expect(final.usage?.input_tokens_details.cached_tokens).toBeGreaterThan(0);
  });

  it("remember what the client sends along", async () => {
    const response = await stack.client().responses.create({
      ...sampled,
      instructions: "Answer.",
      input: [
        { role: "user", content: "Hello" },
        { role: "assistant", content: "Good day." },
        { role: "user", content: [{ type: "input_text", text: "Who are you?" }] },
      ],
    });
    expect(response.status).toBe("completed");
    expect(response.output_text).not.toBe("");
  });

  it("that run out of tokens are incomplete", async () => {
    const response = await stack.client().responses.create({ ...introduce, max_output_tokens: 3 });
    expect(response.status).toBe("incomplete");
    expect(response.incomplete_details).toEqual({ reason: "max_output_tokens" });
    expect(response.usage?.output_tokens).toBe(3);
  });

  it("keep to a JSON schema", async () => {
    const { responses } = stack.client();
    const body = {
      ...introduce,
      text: { format: { type: "json_schema" as const, name: "person", schema, strict: true } },
    };
    const whole = await responses.create(body);
    const person = JSON.parse(whole.output_text) as Record<string, unknown>;
    expect([typeof person["name"], typeof person["old"]]).toEqual(["string", "boolean"]);
    expect(whole.text?.format).toMatchObject({ type: "json_schema", name: "person" });
    expect((await responses.stream(body).finalResponse()).output_text).toBe(whole.output_text);
  });

  it("call a function that is forced, and take what came of it", async () => {
    const { responses } = stack.client();
    const body = {
      ...introduce,
      tools: [{ type: "function" as const, name: "look_up", parameters: schema, strict: true }],
      tool_choice: { type: "function" as const, name: "look_up" },
    };
    const whole = await responses.create(body);
    const call = whole.output.find((item) => item.type === "function_call");
    if (call === undefined) throw new Error("the function was not called");
    expect(call.name).toBe("look_up");
    expect(Object.keys(JSON.parse(call.arguments) as object).toSorted()).toEqual(["name", "old"]);
    const streamed = await responses.stream(body).finalResponse();
    expect(streamed.output).toMatchObject([{ type: "function_call", arguments: call.arguments }]);
    const output = { type: "function_call_output" as const, call_id: call.call_id, output: "a bard" };
    expect(await statusAfter([call, output], body.tools)).toBe("completed");
  });

  it("call a custom tool with plain text, and take what came of it", async () => {
    const { responses } = stack.client();
    const body = {
      ...introduce,
      tools: [{ type: "custom" as const, name: "shell", description: "Runs a command." }],
      tool_choice: { type: "custom" as const, name: "shell" },
    };
    const whole = await responses.create(body);
    const call = whole.output.find((item) => item.type === "custom_tool_call");
    if (call === undefined) throw new Error("the tool was not called");
    expect(call).toMatchObject({ name: "shell", input: expect.stringMatching(/^[^{]/) });
    let input = "";
    for await (const event of await responses.create({ ...body, stream: true })) {
      if (event.type === "response.custom_tool_call_input.delta") input += event.delta;
    }
    expect(input).toBe(call.input);
    const output = { type: "custom_tool_call_output" as const, call_id: call.call_id, output: "a bard" };
    expect(await statusAfter([call, output], body.tools)).toBe("completed");
  });

  it("hold the text of a custom tool that is forced to its grammar, of either syntax", async () => {
    const { responses } = stack.client();
    const regex = { type: "grammar" as const, syntax: "regex" as const, definition: "ls( -[a-z]){1,2}" };
    const definition = `start: "+" line LF ("-" line LF)?
      line: /[a-z ]{3,9}/
      %import common.LF`.replaceAll(/\n +/g, "\n");
    const lark = { type: "grammar" as const, syntax: "lark" as const, definition };
    for (const [format, wanted] of [
      [regex, /^ls( -[a-z]){1,2}$/],
      [lark, /^\+[a-z ]{3,9}\n(-[a-z ]{3,9}\n)?$/],
    ] as const) {
      const tools = [{ type: "custom" as const, name: "shell", format }];
      const tool_choice = { type: "custom" as const, name: "shell" };
      const { output, tools: given } = await responses.create({ ...introduce, tools, tool_choice });
      expect(output).toMatchObject([{ type: "custom_tool_call", input: expect.stringMatching(wanted) }]);
      expect(given).toMatchObject(tools);
    }
  });

  it("[F7] free the slot when the client goes away half way", async () => {
    const abort = new AbortController();
    const body = { model: "tiny-bard", input: "Who are you?", stream: true as const, grammar: LONG_GRAMMAR };
    const stream = await stack.client().responses.create(body, { signal: abort.signal });
    for await (const event of stream) if (event.type === "response.output_text.delta") break;
    abort.abort();
    // With one slot, this is answered only once the first request has left it.
    const next = await stack.client({ maxRetries: 5 }).responses.create(introduce);
    expect(next.output_text).toContain("Tiny Bard");
  });

  it("are refused with an APIError that says what is wrong", async () => {
    const { responses } = stack.client();
    const stateful: unknown = await responses
      .create({ ...introduce, previous_response_id: "resp_1" })
      .catch((error: unknown) => error);
    expect(stateful).toBeInstanceOf(APIError);
    expect(stateful).toMatchObject({ status: 400, code: "unsupported", param: "previous_response_id" });
    await expect(responses.retrieve("resp_1")).rejects.toMatchObject({ status: 404, code: "not_found" });
  });
});

describe("the official client's WebSocket", () => {
  /** The turn's response, and how often a piece of text came before it. */
  async function turn(socket: ResponsesWS): Promise<{ response: Response; deltas: number }> {
    let deltas = 0;
    for await (const event of socket) {
      if (event.type === "error") throw event.error;
      if (event.type !== "message") continue;
      if (event.message.type === "response.output_text.delta") deltas += 1;
      if (event.message.type === "response.completed") return { response: event.message.response, deltas };
    }
    throw new Error("the connection ended before the response");
  }

  it("streams the same response as a request does", async () => {
    const whole = await stack.client().responses.create(introduce);
    const socket = new ResponsesWS(stack.client());
    socket.send({ type: "response.create", stream_id: "main", ...introduce });
    const { response, deltas } = await turn(socket);
    socket.close();
    expect(response).toMatchObject({ output: [{ content: [{ text: whole.output_text }] }] });
    expect(response.usage?.output_tokens).toBe(whole.usage?.output_tokens);
    expect(deltas).toBeGreaterThan(3);
  });

  it("calls a forced function and goes on from it with the output alone", async () => {
    const tools = [{ type: "function" as const, name: "look_up", parameters: schema, strict: true }];
    const socket = new ResponsesWS(stack.client());
    const choice = { type: "function" as const, name: "look_up" };
    socket.send({ type: "response.create", ...introduce, tools, tool_choice: choice });
    const { response: first } = await turn(socket);
    const call = first.output.find((item) => item.type === "function_call");
    if (call === undefined) throw new Error("the function was not called");
    const output = { type: "function_call_output" as const, call_id: call.call_id, output: "a bard" };
    const next = { ...sampled, previous_response_id: first.id, input: [output], tools };
    socket.send({ type: "response.create", ...next, tool_choice: "none" });
    const { response: second } = await turn(socket);
    expect(second).toMatchObject({ status: "completed", previous_response_id: first.id });
    const question = { role: "user" as const, content: introduce.input };
    const whole = await stack
      .client()
      .responses.create({ ...sampled, input: [question, call, output], tools, tool_choice: "none" });
    expect(second.usage?.input_tokens).toBe(whole.usage?.input_tokens);
    expect(second).toMatchObject({ output: [{ content: [{ text: whole.output_text }] }] });
    socket.send({ type: "response.create", ...next });
    await expect(turn(socket)).rejects.toMatchObject({
      error: { status: 400, error: { code: "previous_response_not_found" } },
    });
    socket.close();
  });

  it("[F7] frees the slot when it is closed half way", async () => {
    const socket = new ResponsesWS(stack.client());
    const type = "response.create" as const;
    const create = { type, model: "tiny-bard", input: "Who are you?", grammar: LONG_GRAMMAR };
    socket.send(create);
    await socket.emitted("response.output_text.delta");
    socket.close();
    // With one slot, this is answered only once the first request has left it.
    const next = await stack.client({ maxRetries: 5 }).responses.create(introduce);
    expect(next.output_text).toContain("Tiny Bard");
  });
});

it("legacy completions are the same whole and streamed", async () => {
  const { completions } = stack.client();
  const body = { ...sampled, prompt: "Who are you?" };
  const whole = await completions.create(body);
  expect(whole.choices[0]?.text).toContain("Tiny Bard");
  let text = "";
  let tokens: number | undefined;
  for await (const chunk of await completions.create({
    ...body,
    stream: true,
    stream_options: { include_usage: true },
  })) {
    text += chunk.choices[0]?.text ?? "";
    tokens = chunk.usage?.completion_tokens ?? tokens;
  }
  expect(text).toBe(whole.choices[0]?.text);
  expect(tokens).toBe(whole.usage?.completion_tokens);
});
