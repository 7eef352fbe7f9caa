import { describe, expect, it } from "vitest";

import { hasMoreValuesThan } from "../../worker/json-values.ts";
import { open } from "./responses-client.ts";
import { errorOf, fetchEdge, scene } from "./scene.ts";

it.each([
  ["[0,0,0]", 3],
  ["[[],[],{}]", 6],
  ['{"a":1,"b":[2,3]}', 4],
  [String.raw`["[,{","\",[\\",","]`, 3],
  ['["[,{"]', 1],
  ['["[,{', 1],
  [String.raw`["\\","\\\",["]`, 2],
])("%s holds as many values", (text, values) => {
  expect(hasMoreValuesThan(values, text)).toBe(false);
  expect(hasMoreValuesThan(values - 1, text)).toBe(true);
});

describe("a body of too many values is refused before anything is made of them", () => {
  const zeros = `[${"0,".repeat(70_000)}0]`;

  it.each([
    ["/v1/chat/completions", `{"model":"m","messages":[{"role":"user","content":${zeros}}]}`],
    ["/v1/responses", `{"model":"m","input":${zeros}}`],
    ["/v1/completions", `{"model":"m","prompt":${zeros}}`],
  ])("at %s", async (path, body) => {
    const { apiKey } = await scene();
    const headers = { authorization: `Bearer ${apiKey}` };
    const error = await errorOf(await fetchEdge(path, { method: "POST", headers, body }));
    expect(error).toMatchObject({ status: 400, code: "invalid_request", param: null });
    expect(error.message).toContain("more than 65536 values");
  });

  it("and an event of a WebSocket, too", async () => {
    const client = await open(await scene());
    client.send(`{"type":"response.create","model":"m","input":${zeros}}`);
    const error = { message: expect.stringContaining("more than 65536 values") as string };
    expect(await client.turn()).toMatchObject([{ type: "error", status: 400, error }]);
  });
});

it("of as many as there may be, all that are wrong are found", async () => {
  const { apiKey } = await scene();
  const headers = { authorization: `Bearer ${apiKey}` };
  const body = `{"model":"m","messages":[${"{},".repeat(32_000)}{}]}`;
  const error = await errorOf(await fetchEdge("/v1/chat/completions", { method: "POST", headers, body }));
  expect(error).toMatchObject({ status: 400, param: "messages[0].role" });
});
