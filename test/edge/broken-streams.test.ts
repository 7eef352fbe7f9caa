import OpenAI, { APIError } from "openai";
import { expect, it } from "vitest";

import { join, type FakeProvider, type Message } from "./fake-provider.ts";
import { fetchEdge, scene, type Scene } from "./scene.ts";

/** What the official client makes of streams that machines break: an error with our code, and nothing that looks whole. */

const EVENT = `data: ${JSON.stringify({ choices: [{ index: 0, delta: { content: "one" } }] })}\n\n`;

it.each<[string, string, (machine: FakeProvider, request: Message) => void]>([
  ["goes away in the middle of a line", `${EVENT}data: {"choices":[{"ind`, (machine) => machine.close()],
  ["goes away before a blank line", `${EVENT}data: {"choices":[]}\n`, (machine) => machine.close()],
  [
    "fails in the middle of a line",
    `${EVENT}data: {"choi`,
    (machine, request) => machine.error(request, "fault", "engine_crashed"),
  ],
  [
    "completes in the middle of a line",
    `${EVENT}data: {"ch`,
    (machine, request) => machine.complete(request),
  ],
  ["completes in the middle of [DONE]", `${EVENT}data: [DO`, (machine, request) => machine.complete(request)],
])("[D12] of a machine that %s the client gets an error", async (_, bytes, happen) => {
  const { machine, request, pending } = await answering();
  machine.bytes(request, bytes);
  happen(machine, request);
  const { text, error } = await pending;
  expect(text).toBe("one");
  expect(error).toBeInstanceOf(APIError);
  expect(error).toMatchObject({ code: "provider_error", type: "server_error" });
});

it("a stream that is whole, however it was cut, has no error", async () => {
  const { machine, request, pending } = await answering();
  for (const piece of `${EVENT}${EVENT}data: [DONE]\n\n`.match(/[^]{1,7}/g) ?? [])
    machine.bytes(request, piece);
  machine.complete(request);
  expect(await pending).toEqual({ text: "oneone", error: null });
});

it("a machine's word that its answer is complete holds, also without [DONE]", async () => {
  const { machine, request, pending } = await answering();
  machine.bytes(request, EVENT);
  machine.complete(request);
  expect(await pending).toEqual({ text: "one", error: null });
});

/** A machine that has accepted the chat of a client, which reads it to its end. */
async function answering() {
  const at = await scene();
  const machine = await join(at);
  const pending = read(at);
  const request = await machine.next("inference_request");
  machine.accept(request);
  return { machine, request, pending };
}

/** Reads a chat with the official client to its end. */
async function read(at: Scene): Promise<{ text: string; error: unknown }> {
  const client = new OpenAI({
    apiKey: at.apiKey,
    baseURL: "http://edge/v1",
    maxRetries: 0,
    fetch: (url, init) => fetchEdge(new URL(url instanceof Request ? url.url : url).pathname, init),
  });
  let text = "";
  try {
    const stream = await client.chat.completions.create({
      model: at.model,
      messages: [{ role: "user", content: "Hello" }],
      stream: true,
    });
    for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? "";
    return { text, error: null };
  } catch (error) {
    return { text, error };
  }
}
