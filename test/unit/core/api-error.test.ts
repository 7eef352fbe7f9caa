import { describe, expect, it } from "vitest";

import { encodeError, encodeErrorEvent, type ApiErrorCode } from "../../../core/api-error.ts";

describe("an error", () => {
  it.each<[ApiErrorCode, number, string]>([
    ["invalid_request", 400, "invalid_request_error"],
    ["context_length_exceeded", 400, "invalid_request_error"],
    ["unsupported_protocol", 400, "invalid_request_error"],
    ["invalid_api_key", 401, "invalid_request_error"],
    ["invalid_provider_token", 401, "invalid_request_error"],
    ["forbidden", 403, "permission_error"],
    ["read_only_token", 403, "permission_error"],
    ["machine_not_allowed", 403, "permission_error"],
    ["model_not_found", 404, "invalid_request_error"],
    ["not_found", 404, "invalid_request_error"],
    ["force_required", 409, "invalid_request_error"],
    ["machine_connected", 409, "invalid_request_error"],
    ["precondition_failed", 412, "invalid_request_error"],
    ["request_too_large", 413, "invalid_request_error"],
    ["upgrade_required", 426, "invalid_request_error"],
    ["queue_full", 429, "rate_limit_exceeded"],
    ["queue_timeout", 429, "rate_limit_exceeded"],
    ["ttft_too_slow", 429, "rate_limit_exceeded"],
    ["slow_down", 429, "rate_limit_exceeded"],
    ["internal", 500, "server_error"],
    ["provider_error", 502, "server_error"],
    ["client_too_slow", 502, "server_error"],
    ["model_unavailable", 503, "server_error"],
    ["try_again", 503, "server_error"],
    ["deadline_exceeded", 504, "server_error"],
  ])("%s is %i of type %s, in OpenAI's envelope", (code, status, type) => {
    const encoded = encodeError({ code, message: "why", retryAfterS: 2 });
    expect(encoded.status).toBe(status);
    expect(encoded.headers).toEqual({
      "content-type": "application/json",
      "retry-after": "2",
      "retry-after-ms": "2000",
      ...(status === 429 ? { "x-pool-reason": code } : {}),
    });
    expect(JSON.parse(encoded.body)).toEqual({ error: { message: "why", type, code, param: null } });
  });

  it("keeps SDKs from trying again what can only fail again", () => {
    const { headers } = encodeError({ code: "deadline_exceeded", message: "why", isFinal: true });
    expect(headers).toEqual({ "content-type": "application/json", "x-should-retry": "false" });
  });

  it("names the field at fault", () => {
    const { body, headers } = encodeError({
      code: "invalid_request",
      message: "why",
      param: "messages[0].role",
    });
    expect(JSON.parse(body)).toMatchObject({ error: { param: "messages[0].role" } });
    expect(headers).not.toHaveProperty("retry-after");
  });

  it.each([
    ["seed", "Unsupported parameter: seed: why"],
    [undefined, "Unsupported: why"],
  ])("says in OpenAI's words that something is not supported: %s", (param, message) => {
    const { status, body } = encodeError({
      code: "unsupported",
      param,
      message: param ? `${param}: why` : "why",
    });
    expect(status).toBe(400);
    expect(JSON.parse(body)).toEqual({
      error: { message, type: "invalid_request_error", code: "unsupported", param: param ?? null },
    });
  });

  it.each([
    [0, "1", "1000"],
    [0.2, "1", "1000"],
    [1.2, "2", "1200"],
    [60, "60", "60000"],
    [3600, "60", "60000"],
  ])("tells clients to come back after 1 to 60 s, in whole ones and exactly: %f", (retryAfterS, s, ms) => {
    const { headers } = encodeError({ code: "slow_down", message: "", retryAfterS });
    expect(headers).toMatchObject({ "retry-after": s, "retry-after-ms": ms });
  });

  it("tells the edge for how long it holds, if it does", () => {
    const holds = (holdsForMs?: number, holdsForKey?: boolean) => {
      const { headers } = encodeError({ code: "queue_full", message: "", holdsForMs, holdsForKey });
      return [headers["x-pool-holds-ms"], headers["x-pool-holds-for"]];
    };
    expect(holds()).toEqual([undefined, undefined]);
    expect(holds(0, true)).toEqual([undefined, undefined]);
    expect(holds(250)).toEqual(["250", "model"]);
    expect(holds(250, true)).toEqual(["250", "key"]);
  });

  it("in a stream is one event, for SDKs and for aggregators, whatever its message contains", () => {
    const event = encodeErrorEvent({ code: "provider_error", message: 'line\n\ndata: [DONE]\n"' });
    expect(event).toMatch(/^data: [^\n]*\n\n$/);
    expect(JSON.parse(event.slice(6))).toEqual({
      error: {
        message: 'line\n\ndata: [DONE]\n"',
        type: "server_error",
        code: "provider_error",
        param: null,
      },
      object: "chat.completion.chunk",
      choices: [{ index: 0, delta: { content: "" }, finish_reason: "error" }],
    });
  });
});
