import { describe, expect, it } from "vitest";

import { decodeDial, encodeDial, type Dial } from "../../durable-objects/dial.ts";
import { decodeEdgeCall, encodeEdgeCall, type EdgeCall } from "../../durable-objects/edge-call.ts";
import { epochSchema, machineIdSchema, modelIdSchema } from "../../protocol/ids.ts";
import { CALL } from "./edge-calls.ts";
import { errorOf, poolOf, scene } from "./scene.ts";

/** What the Worker passes on to a pool beside a client's bytes. */

describe("a request's call", () => {
  it.each<[string, Partial<EdgeCall>]>([
    ["of nobody in particular", {}],
    ["of a stream, with what is remembered of its prompt", { stream: true, prefix: [0, 7, 4_294_967_295] }],
    ["with the longest answer that it asks for", { answerTokens: 0 }],
    ["under a cache key", { cacheKeys: [4_294_967_295] }],
    ["under two", { cacheKeys: [0, 4_294_967_295] }],
    ["of a limited key", { priority: "high", reservation: { at: 5, tokens: 900, window: "w-1", number: 3 } }],
    [
      "to an owner's machines",
      { owner: { otherwise: "decline", isSwitching: true, machines: new Set(["mac-1", "mac-2"]) } },
    ],
    [
      "to an owner's machine that holds the model",
      { owner: { otherwise: "wait", isSwitching: false, machines: new Set(["mac-1"]) } },
    ],
  ])("arrives as it was sent: %s", async (_, fields) => {
    const call = { ...CALL, ...fields };
    const request = new Request("http://pool/", encodeEdgeCall(call, "{}"));
    expect(decodeEdgeCall(request)).toEqual({ ...call, bodyChars: 2 });
    expect(await request.text()).toBe("{}");
  });

  it.each([
    ["a model", { model: modelIdSchema.parse("m") }, " m ", " #m "],
    ["a priority", { priority: "high" as const }, " high ", " higher "],
  ])("is none with %s that there is not", (_, fields, written, other) => {
    const request = new Request("http://pool/", encodeEdgeCall({ ...CALL, ...fields }, "{}"));
    const header = request.headers.get("x-pool-call") ?? "";
    expect(header).toContain(written);
    const headers = { "x-pool-call": header.replace(written, other) };
    expect(decodeEdgeCall(new Request("http://pool/", { headers }))).toBeNull();
  });

  it("is understood as version 0.9.0 sends it, and with what a later one adds: a deploy does not reach all places at once", () => {
    const first =
      "req_1 trace-7 /v1/chat/completions org/model:q4 - 0 k 4 1795478400000 1795479000000 - normal 4096 -";
    for (const call of [first, `${first} -`, `${first} - - 0 - later`]) {
      const request = new Request("http://pool/", { method: "POST", headers: { "x-pool-call": call } });
      expect(decodeEdgeCall(request)).toEqual({ ...CALL, bodyChars: 0 });
    }
  });

  it("is not guessed where there is none", async () => {
    const response = await poolOf(await scene()).fetch("http://pool/", { method: "POST", body: "{}" });
    expect(await errorOf(response)).toMatchObject({ status: 500, code: "internal" });
  });
});

describe("a provider's dial", () => {
  it.each<Dial["stamp"]>([{ mode: "managed", epoch: epochSchema.parse(7) }, { mode: "unknown" }])(
    "arrives as it was sent, and without the provider's credentials: %j",
    (stamp) => {
      const dial: Dial = { machineId: machineIdSchema.parse("mac-1"), owner: "acme", tokenId: "t", stamp };
      const headers = { authorization: "Bearer pt_secret", upgrade: "websocket" };
      const request = encodeDial(new Request("http://edge/", { headers }), dial);
      expect(decodeDial(request)).toEqual(dial);
      expect(request.headers.get("upgrade")).toBe("websocket");
      expect(JSON.stringify([...request.headers])).not.toContain("pt_secret");
    },
  );
});
