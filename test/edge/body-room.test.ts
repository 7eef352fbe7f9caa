import { expect, it } from "vitest";

import { HELD_BODIES_BYTES_MAX, HELD_LONG_BODIES_BYTES_MAX, LONG_BODY_CHARS } from "../../core/limits.ts";
import { MAX_REQUEST_BODY_BYTES } from "../../protocol/limits.ts";
import { BodyRoom } from "../../worker/body-room.ts";
import { EndlessBody } from "./endless-body.ts";
import { type FakeProvider, HELLO, join, type Message } from "./fake-provider.ts";
import { chat, chatBody, errorOf, scene, type Scene } from "./scene.ts";

/** Bodies that an isolate holds at once: what is too much is refused before it is read, and short requests still pass. */

/** A body of so many bytes. */
function bodyOf(at: Scene, bytes: number): string {
  const empty = chatBody(at, { stream: true, filler: "" });
  return empty.replace('"filler":""', `"filler":"${"x".repeat(bytes - empty.length)}"`);
}

/** A machine that has been sent all the text that may be under way, and has answered nothing. */
async function fullScene() {
  const at = await scene();
  const machine = await join(at);
  const longest = bodyOf(at, MAX_REQUEST_BODY_BYTES);
  const asked: Promise<Response>[] = [];
  const requests: Message[] = [];
  while (asked.length < HELD_LONG_BODIES_BYTES_MAX / MAX_REQUEST_BODY_BYTES) {
    asked.push(chat(at, {}, { body: longest }));
    requests.push(await machine.next("inference_request"));
  }
  const end = async (): Promise<void> => {
    for (const request of requests) machine.answer(request);
    for (const pending of asked) expect(await (await pending).text()).toBe(HELLO);
  };
  return { at, machine, longest, asked, requests, end };
}

async function expectServed(at: Scene, machine: FakeProvider, body: string): Promise<void> {
  const pending = chat(at, {}, { body });
  machine.answer(await machine.next("inference_request"));
  expect(await (await pending).text()).toBe(HELLO);
}

it("one long request more is told to come back, whatever its model, and short ones pass", async () => {
  const { at, machine, end } = await fullScene();
  const long = bodyOf(at, LONG_BODY_CHARS + 1);
  for (const body of [long, long.replace(at.model, "none-".repeat(4))]) {
    const response = await chat(at, {}, { body });
    expect(response.headers.get("x-pool-reason")).toBe("queue_full");
    expect(Number(response.headers.get("retry-after-ms"))).toBeGreaterThanOrEqual(3000);
    expect(await errorOf(response)).toMatchObject({
      status: 429,
      code: "queue_full",
      message: expect.stringMatching(/^too many long requests are under way here/),
    });
  }
  await expectServed(at, machine, bodyOf(at, LONG_BODY_CHARS));
  await end();
  await expectServed(at, machine, long);
});

it("one without a length is refused while it is read", async () => {
  const { at, end } = await fullScene();
  const endless = new EndlessBody(64 * 1024);
  expect(await errorOf(await chat(at, {}, { body: endless.stream }))).toMatchObject({ code: "queue_full" });
  expect(endless.sent).toBeLessThan(16);
  expect(endless.isCancelled).toBe(true);
  await end();
});

it("the room is free again as soon as an answer begins, and after a refusal", async () => {
  const { at, machine, longest, asked, requests } = await fullScene();
  const [first, second] = requests;
  if (first === undefined || second === undefined) throw new Error("two requests");
  machine.accept(first);
  machine.bytes(first, "data: one\n\n");
  const begun = await asked[0];
  await expectServed(at, machine, longest);
  machine.finish(first);
  expect(await begun?.text()).toBe("data: one\n\ndata: [DONE]\n\n");
  machine.error(second, "client", "context_length_exceeded", "messages: too long");
  expect((await asked[1])?.status).toBe(400);
  await expectServed(at, machine, longest);
});

it("the room of clients that leave before they have an answer is free again", async () => {
  const at = await scene();
  const machine = await join(at);
  const longest = bodyOf(at, MAX_REQUEST_BODY_BYTES);
  for (let left = 0; left <= HELD_BODIES_BYTES_MAX / MAX_REQUEST_BODY_BYTES; left++) {
    const client = new AbortController();
    const pending = chat(at, {}, { body: longest, signal: client.signal });
    await machine.next("inference_request");
    client.abort();
    await expect(pending).rejects.toThrow("abort");
    await machine.next("cancel");
  }
  await expectServed(at, machine, longest);
});

it("short bodies are refused only when all of them together leave no room", () => {
  const room = new BodyRoom();
  const requests = Array.from({ length: HELD_BODIES_BYTES_MAX / LONG_BODY_CHARS }, () => {
    return new Request("http://edge/");
  });
  for (const request of requests) room.take(request, LONG_BODY_CHARS);
  const last = new Request("http://edge/");
  expect(() => room.take(last, 1)).toThrow("too many long requests");
  room.giveBack(last);
  expect(() => room.take(last, 1)).toThrow("too many long requests");
  const [first = last] = requests;
  room.giveBack(first);
  room.giveBack(first);
  room.take(last, LONG_BODY_CHARS);
  expect(() => room.take(first, 1)).toThrow("too many long requests");
});

it("nothing is counted of a request whose client has left: nobody may be there to give it back", () => {
  const room = new BodyRoom();
  const client = new AbortController();
  const left = new Request("http://edge/", { signal: client.signal });
  room.take(left, LONG_BODY_CHARS);
  client.abort();
  for (let taken = 0; taken < 2 * HELD_LONG_BODIES_BYTES_MAX; taken += MAX_REQUEST_BODY_BYTES)
    room.take(left, MAX_REQUEST_BODY_BYTES);
  room.take(new Request("http://edge/"), HELD_LONG_BODIES_BYTES_MAX);
});
