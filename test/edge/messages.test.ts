import { describe, expect, it } from "vitest";

import { toChatName } from "../../worker/openai/chat-names.ts";
import { ASK, assistant, called, text, toolResult, toolUse, user } from "../support/messages.ts";
import { join } from "./fake-provider.ts";
import { complete } from "./messages-scene.ts";
import { fetchEdge, scene, setFlag, type Scene } from "./scene.ts";
import { post } from "./translation-scene.ts";

const PATH = "/v1/messages";

/** A refusal's status and what its envelope says. */
async function refusalOf(response: Response) {
  const { error } = await response.json<{
    error: { type: string; message: string; details: { error_code: string; param: string | null } };
  }>();
  const { error_code: code, param } = error.details;
  return { status: response.status, type: error.type, message: error.message, code, param };
}

describe("POST /v1/messages", () => {
  it("takes a tool's name that is too long for chats, and gives the call back under it", async () => {
    const at = await scene();
    const machine = await join(at);
    const name = `mcp__${"server".repeat(9)}__${"look".repeat(6)}`;
    const pending = post(
      at,
      {
        ...ASK,
        tools: [{ name, input_schema: {} }],
        tool_choice: { type: "tool", name },
        messages: [user(text("hi")), assistant(toolUse("toolu_a", name)), user(toolResult("toolu_a"))],
      },
      PATH,
    );
    const request = await machine.next("inference_request");
    const chatName = toChatName(name);
    expect(chatName).toMatch(/^mcp__[a-z_]+_[0-9a-f]{8}$/);
    expect(request["body"]).toMatchObject({
      tools: [{ function: { name: chatName } }],
      tool_choice: { function: { name: chatName } },
      messages: [{}, { tool_calls: [{ function: { name: chatName } }] }, {}],
    });
    complete(machine, request, { content: null, tool_calls: [called("call_b", chatName, '{"at":1}')] });
    expect(await (await pending).json()).toMatchObject({
      content: [{ type: "tool_use", id: "call_b", name, input: { at: 1 } }],
      stop_reason: "tool_use",
    });
  });

  it.each(["x-api-key", "authorization"])(
    "takes the key in %s, and gives its id under both names",
    async (header) => {
      const at = await scene();
      const machine = await join(at);
      const pending = fetchEdge(`${PATH}?beta=true`, {
        method: "POST",
        headers: {
          [header]: header === "x-api-key" ? at.apiKey : `Bearer ${at.apiKey}`,
          "anthropic-version": "2023-06-01",
          "anthropic-beta": "claude-code-20250219,interleaved-thinking-2025-05-14",
        },
        body: JSON.stringify({ model: at.model, ...ASK }),
      });
      const request = await machine.next("inference_request");
      complete(machine, request, { content: "ho" });
      const { headers, status } = await pending;
      expect(status).toBe(200);
      expect(headers.get("request-id")).toBe(request["request_id"]);
      expect(headers.get("x-request-id")).toBe(request["request_id"]);
    },
  );

  it("is the only one, with the models, to take a key in x-api-key", async () => {
    const at = await scene();
    const headers = { "x-api-key": at.apiKey, "anthropic-version": "2023-06-01" };
    const ask = (path: string, body: object): Promise<Response> =>
      fetchEdge(path, { method: "POST", headers, body: JSON.stringify({ model: at.model, ...body }) });
    expect((await ask("/v1/messages/count_tokens", ASK)).status).toBe(200);
    expect((await fetchEdge("/v1/models", { headers })).status).toBe(200);
    expect((await ask("/v1/chat/completions", ASK)).status).toBe(401);
    expect((await ask("/v1/responses", { input: "hi" })).status).toBe(401);
  });

  it.each([
    [{ max_tokens: undefined }, "invalid_request", "max_tokens"],
    [{ container: "c" }, "unsupported", "container"],
  ])("refuses by name what is wrong or not done here: %j", async (fields, code, param) => {
    const refusal = await refusalOf(await post(await scene(), { ...ASK, ...fields }, PATH));
    expect(refusal).toMatchObject({ status: 400, type: "invalid_request_error", code, param });
    expect(refusal.message).toContain(param);
  });

  it("takes no empty header for a key", async () => {
    const headers = { "x-api-key": "" };
    const refusal = await refusalOf(await fetchEdge(PATH, { method: "POST", headers, body: "{}" }));
    expect(refusal).toMatchObject({ status: 401, code: "invalid_api_key" });
    expect(refusal.message).toContain("no API key");
  });

  it("says that a prompt is too long in the words by which clients know that they must shorten it", async () => {
    const at = await scene();
    const machine = await join(at);
    const pending = post(at, ASK, PATH);
    const request = await machine.next("inference_request");
    machine.error(request, "client", "context_length_exceeded", "it takes 9 tokens");
    expect(await refusalOf(await pending)).toMatchObject({
      status: 400,
      type: "invalid_request_error",
      code: "context_length_exceeded",
      message: "prompt is too long: it takes 9 tokens",
    });
  });

  it("leaves it to its client to try again what may go better the next time", async () => {
    const at = await scene();
    const none = await post(at, ASK, PATH);
    expect([none.status, none.headers.get("x-should-retry")]).toEqual([503, null]);
    await setFlag("shed_models", at.model);
    await join(at);
    const shed = await post(at, ASK, PATH);
    expect([shed.status, shed.headers.get("x-should-retry")]).toEqual([429, null]);
    await setFlag("shed_models", "");
  });

  it("answers in Anthropic's envelope to whatever is sent there", async () => {
    const at = await scene();
    const send = (path: string, init: RequestInit, by: Scene = at): Promise<Response> =>
      fetchEdge(path, { headers: { authorization: `Bearer ${by.apiKey}` }, ...init });
    const large = { method: "POST", body: new Uint8Array(16 * 1024 * 1024 + 1) };
    for (const [pending, status, type, code] of [
      [send(PATH, large), 413, "request_too_large", "request_too_large"],
      [send(PATH, { method: "POST", body: "{no" }), 400, "invalid_request_error", "invalid_request"],
      [send(PATH, { method: "GET" }), 405, "invalid_request_error", "method_not_allowed"],
      [send(`${PATH}/batches`, { method: "POST" }), 404, "not_found_error", "not_found"],
      [send(PATH, { method: "POST", headers: {} }), 401, "authentication_error", "invalid_api_key"],
    ] as const) {
      const response = await pending;
      const id = response.headers.get("request-id");
      expect(id).toMatch(/^req_[0-9a-f]{32}$/);
      expect(response.headers.get("content-type")).toBe("application/json");
      const body = await response.json();
      expect(response.status).toBe(status);
      expect(response.headers.get("x-should-retry")).toBe("false");
      expect(response.headers.get("content-length") ?? null).toBeNull();
      expect(response.headers.get("allow")).toBe(status === 405 ? "POST" : null);
      expect(body).toMatchObject({
        type: "error",
        request_id: id,
        error: { type, details: { error_code: code } },
      });
    }
  });
});
