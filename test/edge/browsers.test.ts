import { describe, expect, it } from "vitest";

import { join } from "./fake-provider.ts";
import { chat, fetchEdge, readText, scene } from "./scene.ts";

/** Pages of other origins that call the clients' API with a key. */

const ORIGIN = "https://page.example";

const shared = (response: Response): string | null => response.headers.get("access-control-allow-origin");

describe("a page of another origin", () => {
  it.each([
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/responses",
    "/v1/responses/resp_1",
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/v1/models",
    "/v1/models/a/b",
  ])("may ask with a key and any header: %s", async (path) => {
    const response = await fetchEdge(path, {
      method: "OPTIONS",
      headers: {
        origin: ORIGIN,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type,x-stainless-lang",
      },
    });
    expect(response.status).toBe(204);
    expect(Object.fromEntries(response.headers)).toMatchObject({
      "access-control-allow-origin": "*",
      "access-control-allow-methods": "GET,POST,DELETE",
      "access-control-allow-headers": "authorization,content-type,x-stainless-lang",
      "access-control-max-age": "86400",
    });
    expect(response.headers.has("access-control-allow-credentials")).toBe(false);
  });

  it.each(["/v1/models/capacity", "/v1/models?format=openrouter"])(
    "gets no cached answer that it may not read: %s",
    async (path) => {
      for (const [headers, allowed] of [
        [{}, null],
        [{ origin: ORIGIN }, "*"],
      ] as const) {
        const response = await fetchEdge(path, { headers });
        expect(response.headers.get("cache-control")).toMatch(/^public/);
        expect(response.headers.get("vary")).toBe("origin");
        expect(shared(response)).toBe(allowed);
      }
    },
  );

  it("reads a stream as it comes, and its headers; leaving has the machine told", async () => {
    const at = await scene();
    const machine = await join(at);
    const pending = chat(
      at,
      { stream: true },
      { headers: { authorization: `Bearer ${at.apiKey}`, origin: ORIGIN } },
    );
    const request = await machine.next("inference_request");
    machine.accept(request);
    machine.bytes(request, "data: one\n\n");
    const response = await pending;
    expect(shared(response)).toBe("*");
    expect(response.headers.get("timing-allow-origin")).toBe("*");
    expect(response.headers.get("access-control-expose-headers")).toContain("x-request-id");
    expect(response.headers.get("content-type")).toBe("text/event-stream");
    expect(response.headers.get("x-request-id")).toBe(request["request_id"]);
    const reader = response.body?.getReader();
    expect(await readText(reader)).toBe("data: one\n\n");
    machine.bytes(request, "data: two\n\n");
    expect(await readText(reader)).toBe("data: two\n\n");
    await reader?.cancel();
    expect(await machine.next("cancel")).toMatchObject({ request_id: request["request_id"] });
  });

  it("reads errors of every kind", async () => {
    const at = await scene();
    const headers = { authorization: `Bearer ${at.apiKey}`, origin: ORIGIN };
    const answers = [
      [401, chat(at, {}, { headers: { origin: ORIGIN } })],
      [400, chat(at, { n: 2 }, { headers })],
      [404, chat(at, { model: "nope" }, { headers })],
      [405, fetchEdge("/v1/chat/completions", { headers })],
      [503, chat(at, {}, { headers })],
      [405, fetchEdge("/v1/messages", { headers })],
    ] as const;
    for (const [status, pending] of answers) {
      const response = await pending;
      expect([response.status, shared(response)]).toEqual([status, "*"]);
      expect(await response.json()).toMatchObject({ error: { message: expect.any(String) } });
    }
  });
});

it("a request without an Origin gets none of these headers, and its OPTIONS is refused with 405", async () => {
  const at = await scene();
  const response = await fetchEdge("/v1/models", { headers: { authorization: `Bearer ${at.apiKey}` } });
  expect(response.status).toBe(200);
  expect(shared(response)).toBeNull();
  expect((await fetchEdge("/v1/models", { method: "OPTIONS" })).status).toBe(405);
});

it.each(["/v1/admin/machines", "/v1/providers/connect", "/v1/chatter", "/health"])(
  "pages of other origins have no business at %s",
  async (path) => {
    const response = await fetchEdge(path, { headers: { origin: ORIGIN } });
    expect(shared(response)).toBeNull();
  },
);
