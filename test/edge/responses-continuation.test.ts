import { describe, expect, it } from "vitest";

import { REMEMBERED_CHARS_MAX, REMEMBERED_LANES_MAX } from "../../core/limits.ts";
import { Conversations, type Conversation } from "../../worker/openai/conversations.ts";
import { join } from "./fake-provider.ts";
import { answered, CALL, chunk, open, TOOLS, type ResponsesClient } from "./responses-client.ts";
import { scene } from "./scene.ts";

describe("previous_response_id on a WebSocket", () => {
  it("goes on from what was said there, calls and their outputs too", async () => {
    const at = await scene();
    const machine = await join(at);
    const client = await open(at);
    const body = { model: at.model, tools: TOOLS };
    const first = await answered(client, machine, { ...body, input: "look" }, { tool_calls: [CALL] });
    const second = await answered(client, machine, {
      ...body,
      previous_response_id: first.id,
      input: [{ type: "function_call_output", call_id: "call_1", output: "a tree" }],
    });
    const looked = [
      { role: "user", content: "look" },
      { role: "assistant", content: null, tool_calls: [toolCall] },
      { role: "tool", tool_call_id: "call_1", content: "a tree" },
    ];
    expect(second.request["body"]).toMatchObject({ messages: looked });
    const responses = second.events.flatMap(({ response }) => response ?? []);
    expect(responses).toHaveLength(3);
    expect(responses).toEqual(
      responses.map(() => expect.objectContaining({ previous_response_id: first.id }) as object),
    );
    const third = await answered(client, machine, {
      ...body,
      instructions: "be brief",
      previous_response_id: second.id,
      input: "and?",
    });
    expect(third.request["body"]).toMatchObject({
      messages: [
        { role: "system", content: "be brief" },
        ...looked,
        { role: "assistant", content: "ho" },
        { role: "user", content: "and?" },
      ],
    });
  });

  it("is found only there, and no longer once it was gone on from or a turn after it failed", async () => {
    const at = await scene();
    const machine = await join(at);
    const [client, other] = [await open(at), await open(at)];
    const body = { model: at.model, input: "hi" };
    const first = await answered(client, machine, body);
    await isForgotten(other, { ...body, previous_response_id: first.id });
    const second = await answered(client, machine, { ...body, previous_response_id: first.id });
    await isForgotten(client, { ...body, previous_response_id: first.id });
    const output = { type: "function_call_output", call_id: "call_none", output: "" };
    client.create({ ...body, previous_response_id: second.id, input: [output] });
    expect(await client.turn()).toMatchObject([
      { type: "error", status: 400, error: { code: "invalid_request", param: "input[4].call_id" } },
    ]);
    await isForgotten(client, { ...body, previous_response_id: second.id });
    await answered(client, machine, body);
  });

  it("a machine that fails in the middle costs it, too, and is the last event of the turn", async () => {
    const at = await scene();
    const machine = await join(at);
    const client = await open(at);
    const body = { model: at.model, input: "hi" };
    const first = await answered(client, machine, body);
    client.create({ ...body, previous_response_id: first.id });
    const request = await machine.next("inference_request");
    machine.accept(request);
    machine.bytes(request, chunk({ content: "ho" }));
    machine.error(request, "fault", "engine_error");
    expect((await client.turn()).at(-1)).toMatchObject({
      type: "response.failed",
      response: { error: { code: "provider_error" } },
    });
    await isForgotten(client, { ...body, previous_response_id: first.id });
  });

  it("may be gone on from in another lane, and a failure there does not cost the first its own", async () => {
    const at = await scene();
    const machine = await join(at);
    const client = await open(at);
    const body = { model: at.model, input: "hi" };
    const first = await answered(client, machine, { ...body, stream_id: "main" });
    const fork = { ...body, stream_id: "fork", previous_response_id: first.id };
    client.create({ ...fork, input: 7 });
    expect(await client.turn()).toMatchObject([
      { type: "error", status: 400, stream_id: "fork", error: { param: "input" } },
    ]);
    const forked = await answered(client, machine, fork);
    const next = { ...body, stream_id: "main", previous_response_id: first.id };
    expect((await answered(client, machine, next)).request["body"]).toEqual(forked.request["body"]);
  });
});

describe("what a connection remembers", () => {
  const said = (id: string, chars: number): Conversation => ({ id, items: [], chars });

  it("is the latest of each lane, together no more than one long conversation", () => {
    const conversations = new Conversations();
    conversations.keep("a", said("a1", 1));
    conversations.keep("b", said("b1", 1));
    conversations.keep("a", said("a2", 1));
    expect([conversations.find("a1"), conversations.find("a2")?.id]).toEqual([null, "a2"]);
    conversations.keep("c", said("c1", REMEMBERED_CHARS_MAX - 1));
    // The lane that was continued least recently makes room.
    expect(["a2", "b1", "c1"].map((id) => conversations.find(id)?.id)).toEqual(["a2", undefined, "c1"]);
    conversations.keep("d", said("d1", REMEMBERED_CHARS_MAX));
    expect(["a2", "c1", "d1"].map((id) => conversations.find(id)?.id)).toEqual([undefined, undefined, "d1"]);
    conversations.keep("a", said("a2", 1));
    conversations.keep("c", said("c1", REMEMBERED_CHARS_MAX - 1));
    conversations.keep("c", said("c2", REMEMBERED_CHARS_MAX + 1));
    expect(["a2", "c1", "c2"].map((id) => conversations.find(id)?.id)).toEqual(["a2", undefined, undefined]);
  });

  it("is of 32 lanes at most, and the oldest is forgotten first", () => {
    const conversations = new Conversations();
    for (let lane = 0; lane <= REMEMBERED_LANES_MAX; lane++)
      conversations.keep(`${lane}`, said(`r${lane}`, 1));
    expect([conversations.find("r0"), conversations.find("r1")?.id]).toEqual([null, "r1"]);
  });

  it("is forgotten by the lane's own name only", () => {
    const conversations = new Conversations();
    conversations.keep("a", said("a1", 1));
    conversations.forget("b", "a1");
    expect(conversations.find("a1")).not.toBeNull();
    conversations.forget("a", "a1");
    expect(conversations.find("a1")).toBeNull();
  });
});

const toolCall = { id: "call_1", type: "function", function: { name: "look", arguments: "{}" } };

async function isForgotten(client: ResponsesClient, body: object): Promise<void> {
  client.create(body);
  expect(await client.turn()).toMatchObject([
    {
      type: "error",
      status: 400,
      error: { code: "previous_response_not_found", param: "previous_response_id" },
    },
  ]);
}
