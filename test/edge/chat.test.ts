import { describe, expect, it } from "vitest";

import { chat, join, scene } from "./fake-provider.ts";

describe("a chat request", () => {
  it("is answered by the machine that holds the model, byte for byte", async () => {
    const at = await scene();
    const machine = await join(at);
    const pending = chat(at, { stream: true });
    const request = await machine.next("inference_request");
    expect(request).toMatchObject({
      model_id: at.model,
      endpoint: "/v1/chat/completions",
      owner_bypass: false,
      body: { model: at.model, stream: true },
    });
    machine.accept(request);
    machine.bytes(request["stream"], "data: one\n\n");
    const response = await pending;
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toBe("text/event-stream");
    machine.bytes(request["stream"], "data: two\n\n", "data: [DONE]\n\n");
    machine.complete(request);
    expect(await response.text()).toBe("data: one\n\ndata: two\n\ndata: [DONE]\n\n");
  });
});
