import { describe, expect, it, vi } from "vitest";

import { app } from "../../worker/app.ts";
import { EndlessBody } from "./endless-body.ts";
import { join } from "./fake-provider.ts";
import { chat, chatBody, errorOf, fetchEdge, scene, testEnv } from "./scene.ts";

const message = { role: "user", content: "x" };
const tool = (name: unknown): object => ({ type: "function", function: { name } });

describe("a request that is wrong is 400 and names the field:", () => {
  it.each([
    ["no object", [], null],
    ["no model", { messages: [message] }, "model"],
    ["a model of nothing", { model: "", messages: [message] }, "model"],
    ["no messages", { model: "m", messages: [] }, "messages"],
    ["messages that are no list", { model: "m", messages: "hello" }, "messages"],
    [
      "an unknown role",
      { model: "m", messages: [message, { role: "boss", content: "x" }] },
      "messages[1].role",
    ],
    [
      "content that is a number",
      { model: "m", messages: [{ role: "user", content: 7 }] },
      "messages[0].content",
    ],
    [
      "a content part without a type",
      { model: "m", messages: [{ role: "user", content: [{ text: "x" }] }] },
      "messages[0].content[0].type",
    ],
    ["several answers", { model: "m", n: 2, messages: [message] }, "n"],
    ["a stream that is text", { model: "m", stream: "yes", messages: [message] }, "stream"],
    [
      "stream_options without stream",
      { model: "m", stream_options: {}, messages: [message] },
      "stream_options",
    ],
    [
      "include_usage that is text",
      { model: "m", stream: true, stream_options: { include_usage: "yes" }, messages: [message] },
      "stream_options.include_usage",
    ],
    ["no tokens", { model: "m", max_tokens: 0, messages: [message] }, "max_tokens"],
    [
      "half a token",
      { model: "m", max_completion_tokens: 1.5, messages: [message] },
      "max_completion_tokens",
    ],
    ["too hot", { model: "m", temperature: 2.1, messages: [message] }, "temperature"],
    ["a probability above 1", { model: "m", top_p: 1.1, messages: [message] }, "top_p"],
    ["a seed that is no whole number", { model: "m", seed: 0.5, messages: [message] }, "seed"],
    ["too many stops", { model: "m", stop: ["1", "2", "3", "4", "5"], messages: [message] }, "stop"],
    [
      "a tool name with a blank",
      { model: "m", tools: [tool("a b")], messages: [message] },
      "tools[0].function.name",
    ],
    ["an unknown tool choice", { model: "m", tool_choice: "maybe", messages: [message] }, "tool_choice"],
    [
      "an unknown response format",
      { model: "m", response_format: { type: "xml" }, messages: [message] },
      "response_format.type",
    ],
    ["logprobs", { model: "m", logprobs: true, messages: [message] }, "logprobs"],
  ])("%s", async (_, body, param) => {
    const at = await scene();
    const response = await chat(at, {}, { body: JSON.stringify(body) });
    expect(await errorOf(response)).toMatchObject({
      status: 400,
      code: "invalid_request",
      type: "invalid_request_error",
      param,
    });
  });

  it.each([
    ["", "the body is empty"],
    [" \n", "the body is empty"],
    ["{", "the body is not valid JSON: Expected property name"],
    ["hello", "the body is not valid JSON: Unexpected token"],
    ['{"model":"m",}', "the body is not valid JSON: Expected double-quoted property name"],
  ])("no JSON at all, as in %j", async (body, why) => {
    const error = await errorOf(await chat(await scene(), {}, { body }));
    expect(error).toMatchObject({ status: 400, code: "invalid_request", param: null });
    expect(error.message).toContain(why);
  });

  it.each(["/v1/chat/completions", "/v1/completions", "/v1/responses"])(
    "one that is nested deeper than a machine can write it, at %s",
    async (path) => {
      const { model, apiKey } = await scene();
      const deep = `${"[".repeat(5000)}${"]".repeat(5000)}`;
      const asked = `"messages":[${JSON.stringify(message)}],"prompt":"x","input":"x"`;
      const body = `{"model":"${model}",${asked},"odd":${deep}}`;
      const headers = { authorization: `Bearer ${apiKey}` };
      const error = await errorOf(await fetchEdge(path, { method: "POST", headers, body }));
      expect(error).toMatchObject({ status: 400, code: "invalid_request" });
      expect(error.message).toContain("levels deep");
    },
  );

  it.each([
    ["a forgotten field", { model: "m" }, "messages: is required and must be a list"],
    [
      "a forgotten field deep inside",
      { model: "m", messages: [{ content: "x" }] },
      'messages[0].role: is required and must be "system", "developer", "user", "assistant", "tool" or "function"',
    ],
    [
      "a part without a type",
      { model: "m", messages: [{ role: "user", content: [{}] }] },
      "messages[0].content[0].type: is required and must be text",
    ],
  ])("and says so in words: %s", async (_, body, said) => {
    const response = await chat(await scene(), {}, { body: JSON.stringify(body) });
    expect((await errorOf(response)).message).toBe(said);
  });
});

describe("a path that does not exist", () => {
  it.each([
    ["/chat/completions", "/v1/chat/completions"],
    ["/v1/v1/models", "/v1/models"],
    ["/v1/models/", "/v1/models"],
    ["/dashboard/", "/dashboard"],
    ["/v1/metrics", "/metrics"],
    ["//v1/chat/completions", "/v1/chat/completions"],
    ["/v1//chat/completions", "/v1/chat/completions"],
    ["/v1/models/capacity/", "/v1/models/capacity"],
    ["/v1/models/tiny-bard/", "/v1/models/tiny-bard"],
  ])("is 404 and names the one that was meant: %s", async (path, meant) => {
    const error = await errorOf(await fetchEdge(path, { method: "POST", body: "{}" }));
    expect(error).toMatchObject({ status: 404, code: "not_found" });
    expect(error.message).toContain(`did you mean ${meant}?`);
  });

  it.each(["/", "/v1", "/v1/"])("says where to begin to whoever has only the address: %s", async (path) => {
    const error = await errorOf(await fetchEdge(path));
    expect(error).toMatchObject({ status: 404, code: "not_found" });
    expect(error.message).toContain("begins with /v1, the operator's page is /dashboard");
  });

  it.each(["/v1/moderations", "/v1/v1/moderations", "/moderations/"])(
    "and suggests none that is not there: %s",
    async (path) => {
      const error = await errorOf(await fetchEdge(path, { method: "POST", body: "{}" }));
      expect(error.message).toBe(`no route for POST ${path}`);
    },
  );
});

describe("a request that is right", () => {
  it.each([
    [
      "nulls",
      { stream: null, n: null, stop: null, tools: null, temperature: null, seed: null, logprobs: null },
    ],
    [
      "all that is checked",
      {
        stream: false,
        n: 1,
        max_tokens: 1,
        max_completion_tokens: 5,
        temperature: 0,
        top_p: 1,
        seed: -1,
        stop: "x",
        tools: [tool("get_weather-2")],
        tool_choice: { type: "function", function: { name: "get_weather-2" } },
        response_format: { type: "json_schema", json_schema: { name: "x", schema: {} } },
        logprobs: false,
      },
    ],
    [
      "conversations with tools",
      {
        messages: [
          { role: "system", content: "s" },
          { role: "developer", content: [{ type: "text", text: "x" }] },
          {
            role: "assistant",
            content: null,
            tool_calls: [{ id: "1", type: "function", function: { name: "f" } }],
          },
          { role: "assistant", tool_calls: [] },
          { role: "tool", tool_call_id: "1", content: "r" },
        ],
      },
    ],
    ["fields nobody here has heard of", { user: "u", metadata: { a: 1 }, min_p: 0.1, constructor: 1 }],
  ])("passes with %s, and every value reaches the machine", async (_, fields) => {
    const at = await scene();
    const machine = await join(at);
    const pending = chat(at, fields);
    const request = await machine.next("inference_request");
    expect(request["body"]).toEqual(JSON.parse(chatBody(at, fields)));
    machine.answer(request, "{}");
    expect((await pending).status).toBe(200);
  });

  it("reaches the machine with every byte as it was", async () => {
    const at = await scene();
    const machine = await join(at);
    const body = `{ "model":"${at.model}",\t"odd": [1.50, -0, 1e3, 12345678901234567890],\n"messages":[{"role":"user","content":"é \\u00e9 \\/ 🚲 \\ud83d\\udeb2"}], "odd": null }`;
    const pending = chat(at, {}, { body });
    const request = await machine.next("inference_request");
    expect(machine.texts.at(-1)).toContain(`"body":${body}}`);
    machine.answer(request, "{}");
    await pending;
  });

  it("may be large, and still arrives whole", async () => {
    const at = await scene();
    const machine = await join(at);
    const body = chatBody(at, { filler: "é".repeat(4 * 1024 * 1024) });
    const pending = chat(at, {}, { body });
    const request = await machine.next("inference_request");
    expect(machine.texts.at(-1)?.endsWith(`"body":${body}}`)).toBe(true);
    machine.answer(request, "{}");
    expect((await pending).status).toBe(200);
  });
});

describe("a body above 16 MiB", () => {
  const MIB = 1024 * 1024;

  it("is 413 if its length says so, and one of 16 MiB is not", async () => {
    const at = await scene();
    const exact = chatBody(at, { model: "none", filler: "" });
    const largest = exact.replace('"filler":""', `"filler":"${"x".repeat(16 * MIB - exact.length)}"`);
    expect(largest.length).toBe(16 * MIB);
    expect((await errorOf(await chat(at, {}, { body: largest }))).code).toBe("model_not_found");
    expect(await errorOf(await chat(at, {}, { body: `${largest} ` }))).toMatchObject({
      status: 413,
      code: "request_too_large",
    });
  });

  it("is 413 while it is being read if it has no length", async () => {
    const at = await scene();
    const endless = new EndlessBody(MIB);
    expect(await errorOf(await chat(at, {}, { body: endless.stream }))).toMatchObject({ status: 413 });
    expect(endless.sent).toBeLessThan(32);
    expect(endless.isCancelled).toBe(true);
  });

  it("is 400 if it ends within a character, and the next one has nothing of it", async () => {
    const at = await scene();
    const cut = new Uint8Array([...new TextEncoder().encode(chatBody(at)), 0xf0, 0x9f]);
    for (let i = 0; i < 2; i++) {
      expect(await errorOf(await chat(at, {}, { body: cut }))).toMatchObject({ status: 400 });
      // Nobody serves the model, which is said of a request that is in order.
      expect(await errorOf(await chat(at))).toMatchObject({ status: 503, code: "model_unavailable" });
    }
  });

  it.each(["with", "without"])("is 400 if its bytes are no text, %s a length", async (how) => {
    const at = await scene();
    const [head = "", tail = ""] = chatBody(at, { filler: "|" }).split("|");
    const utf8 = new TextEncoder();
    const bytes = new Uint8Array([...utf8.encode(head), 0xff, ...utf8.encode(tail)]);
    const body = how === "with" ? bytes : new Blob([bytes]).stream();
    expect(await errorOf(await chat(at, {}, { body }))).toMatchObject({
      status: 400,
      code: "invalid_request",
      message: "the body is not UTF-8",
    });
  });

  it("is 400 if it is compressed, and the answer says so", async () => {
    const at = await scene();
    const compressed = new Blob([chatBody(at)]).stream().pipeThrough(new CompressionStream("gzip"));
    const headers = { authorization: `Bearer ${at.apiKey}`, "content-encoding": "gzip" };
    expect(await errorOf(await chat(at, {}, { body: compressed, headers }))).toMatchObject({
      status: 400,
      code: "invalid_request",
      message: "the body is encoded (gzip); send it as it is",
    });
  });

  it("is read whole, without a length, if it is smaller, wherever it is cut", async () => {
    const at = await scene();
    const machine = await join(at);
    const body = chatBody(at, { filler: "é🚲" });
    const bytes = new TextEncoder().encode(body);
    const pieces = new ReadableStream<Uint8Array>({
      start(controller) {
        for (const byte of bytes) controller.enqueue(Uint8Array.of(byte));
        controller.close();
      },
    });
    const pending = chat(at, {}, { body: pieces });
    const request = await machine.next("inference_request");
    expect(machine.texts.at(-1)).toContain(body);
    machine.answer(request, "{}");
    await pending;
  });
});

describe("quotes inside of quotes, by which a request grows above 16 MiB only on its way", () => {
  const quotes = '\\"'.repeat(4_200_000);
  const call = `{"type":"tool_use","id":"a","name":"b","input":{"x":"${quotes}"}}`;
  const result = '{"type":"tool_result","tool_use_id":"a"}';
  const turns = `{"role":"assistant","content":[${call}]},{"role":"user","content":[${result}]}`;
  const custom = `{"type":"custom_tool_call","call_id":"a","name":"b","input":"${quotes}"}`;

  it.each([
    ["a message", "/v1/messages", `"max_tokens":9,"messages":[${turns}]`],
    ["a response", "/v1/responses", `"input":[${custom}]`],
  ])("are 413 in %s, and its machine goes on", async (_, path, fields) => {
    const at = await scene();
    const machine = await join(at);
    const body = `{"model":"${at.model}",${fields}}`;
    expect(body.length).toBeLessThan(16 * 1024 * 1024);
    const headers = { authorization: `Bearer ${at.apiKey}` };
    const response = await fetchEdge(path, { method: "POST", headers, body });
    expect(response.status).toBe(413);
    expect(await response.text()).toContain("the chat that it becomes is larger than 16 MiB");
    const pending = chat(at);
    const request = await machine.next("inference_request");
    machine.answer(request, "{}");
    expect((await pending).status).toBe(200);
  });
});

it.each([{}, { "content-length": "500" }])(
  "a body that breaks off is 400 and no defect of ours: %j",
  async (length) => {
    const at = await scene();
    const logged = vi.spyOn(console, "error").mockImplementation(() => undefined);
    const broken = new ReadableStream<Uint8Array>({
      pull(controller) {
        controller.error(new Error("Network connection lost."));
      },
    });
    const headers = { authorization: `Bearer ${at.apiKey}`, ...length };
    // Past the loopback, which would hand the body over as one that is merely short.
    const request = new Request("http://edge/v1/chat/completions", { method: "POST", body: broken, headers });
    const error = await errorOf(await app.fetch(request, testEnv));
    expect(error).toMatchObject({ status: 400, code: "invalid_request" });
    expect(logged).not.toHaveBeenCalled();
    logged.mockRestore();
  },
);
