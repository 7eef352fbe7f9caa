import { describe, expect, it } from "vitest";

import { encodeRecords } from "../../protocol/records.ts";
import { join, type FakeProvider, type Message } from "./fake-provider.ts";
import { chat, poolOf, readText, scene, until, untilQueued, type Scene } from "./scene.ts";

describe("[F7] a client that goes away", () => {
  it.each([true, false])("before it has an answer has its machine told, stream: %j", async (stream) => {
    const at = await scene();
    const machine = await join(at);
    const client = new AbortController();
    const pending = chat(at, { stream }, { signal: client.signal });
    const request = await machine.next("inference_request");
    client.abort();
    await expect(pending).rejects.toThrow("abort");
    await expectCancel(at, machine, request);
  });

  it("while it waits in line is forgotten", async () => {
    const at = await scene({ max_concurrency: 1 });
    const machine = await join(at);
    const first = chat(at);
    const running = await machine.next("inference_request");
    const client = new AbortController();
    const pending = chat(at, {}, { signal: client.signal });
    await untilQueued(at, 1);
    client.abort();
    await expect(pending).rejects.toThrow("abort");
    await untilQueued(at, 0);
    machine.answer(running, "{}");
    await first;
    await machine.hasHeardAll(at);
    expect(machine.unread).toEqual([]);
  });

  it("in the middle of a stream has its machine told", async () => {
    const at = await scene();
    const machine = await join(at);
    const pending = chat(at, { stream: true });
    const request = await machine.next("inference_request");
    machine.accept(request);
    machine.bytes(request, "data: one\n\n");
    await (await pending).body?.cancel();
    await expectCancel(at, machine, request);
  });
});

describe("a client that reads slowly", () => {
  const KIB = 1024;

  it("has its stream paused and resumed, and gets every byte", async () => {
    const at = await scene();
    const machine = await join(at);
    const [response, request] = await openStream(at, machine);
    for (let i = 0; i < 20; i++) machine.bytes(request, `data: ${`${i % 10}`.repeat(16 * KIB)}\n\n`);
    expect(await machine.next("pause")).toEqual({ type: "pause", stream: request["stream"] });
    await machine.hasHeardAll(at);
    expect(machine.unread).toEqual([]);
    const reader = response.body?.getReader();
    let text = "";
    while (!text.endsWith(`${"9".repeat(16 * KIB)}\n\n`) || text.length < 20 * 16 * KIB)
      text += await readText(reader);
    expect(await machine.next("resume")).toEqual({ type: "resume", stream: request["stream"] });
    machine.finish(request);
    text += await readText(reader);
    const all = Array.from({ length: 20 }, (_, i) => `data: ${`${i % 10}`.repeat(16 * KIB)}\n\n`);
    expect(text === `data: first\n\n${all.join("")}data: [DONE]\n\n`).toBe(true);
  });

  it("and whose machine does not pause is cut off above 1 MiB, with an error event", async () => {
    const at = await scene();
    const machine = await join(at);
    const [response, request] = await openStream(at, machine);
    for (let i = 0; i < 48; i++) machine.bytes(request, `data: ${"x".repeat(32 * KIB)}\n\n`);
    expect(await machine.next("cancel")).toMatchObject({ stream: request["stream"] });
    expect(await response.text()).toMatch(
      /^data: first\n\n(data: x+\n\n)+data: \{"error":\{.*"code":"client_too_slow".*\}\n\n$/,
    );
  });

  it("and whose machine sends it in crumbs is cut off when they take as much room", async () => {
    const at = await scene();
    const machine = await join(at);
    const [response, request] = await openStream(at, machine);
    const crumb = { stream: Number(request["stream"]), chunks: [new TextEncoder().encode(":\n\n")] };
    for (let i = 0; i < 20; i++) machine.sendBinary(encodeRecords(Array.from({ length: 500 }, () => crumb)));
    expect(await machine.next("cancel")).toMatchObject({ stream: request["stream"] });
    expect(await response.text()).toContain('"code":"client_too_slow"');
  });
});

async function openStream(at: Scene, machine: FakeProvider): Promise<[Response, Message]> {
  const pending = chat(at, { stream: true });
  const request = await machine.next("inference_request");
  machine.accept(request);
  machine.bytes(request, "data: first\n\n");
  return [await pending, request];
}

/** That the machine is told once, the slot is free once it has answered, and nobody tries again. */
async function expectCancel(at: Scene, machine: FakeProvider, request: Message): Promise<void> {
  const { request_id, stream } = request;
  expect(await machine.next("cancel")).toEqual({ type: "cancel", request_id, stream });
  expect(await poolOf(at).report(4)).toMatchObject({
    inFlight: 0,
    machines: [{ inFlight: 1, freeSlots: 3 }],
  });
  machine.error(request, "cancelled", "cancelled");
  await until(async () => (await poolOf(at).report(4)).machines[0]?.inFlight === 0);
  await machine.hasHeardAll(at);
  expect(machine.unread).toEqual([]);
}
