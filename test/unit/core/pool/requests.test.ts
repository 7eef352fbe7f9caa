import { describe, expect, it } from "vitest";

import { encodeRecords } from "../../../../protocol/records.ts";
import { PoolScene } from "./pool-scene.ts";

const MIB = 1024 * 1024;

describe("a request", () => {
  it("streams from the machine to the client and frees its slot", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    const client = scene.ask();
    const sent = scene.requestOf(mac);
    scene.accept(sent);
    expect(client.text).toBe("");
    scene.bytes(sent, "one ");
    scene.bytes(sent, "two");
    expect(client.text).toBe("one two");
    expect(client.ended).toBeNull();
    scene.finish(sent);
    expect(client.ended).toBe("finished");
    expect(scene.pool.report(scene.now, 4)).toMatchObject({ inFlight: 0, machines: [{ inFlight: 0 }] });
    expect(scene.pool.nextTickAt(scene.now)).toBeNull();
  });

  it("that is not streamed is collected and answered whole", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    const client = scene.ask({ stream: false });
    const sent = scene.requestOf(mac);
    scene.accept(sent);
    scene.bytes(sent, '{"a":');
    scene.bytes(sent, "1}");
    expect(client.text).toBe("");
    scene.complete(sent);
    expect(client.text).toBe('{"a":1}');
    expect(client.ended).toBe("complete");
  });

  it("goes down the socket with the client's own text and what is left of its time", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1", { max_concurrency: 1 });
    scene.ask();
    const blocking = scene.requestOf(mac);
    scene.ask({ requestId: "req_x", body: '{"model":"alias","x":[1.50,null]}', stream: false });
    scene.advance(4000, mac);
    scene.serve(blocking, "done");
    expect(scene.requestOf(mac).request).toEqual({
      type: "inference_request",
      request_id: "req_x",
      stream: 1,
      endpoint: "/v1/chat/completions",
      model_id: "m",
      body: { model: "alias", x: [1.5, null] },
      deadline_ms: 596_000,
      owner_bypass: false,
      flush_ms: 40,
    });
  });

  it("is refused at once when no machine serves the model", () => {
    const scene = new PoolScene();
    expect(scene.ask().refusal).toMatchObject({ code: "model_unavailable", retryAfterS: 10 });
    expect(scene.pool.nextTickAt(scene.now)).toBeNull();
  });

  it("that is not streamed is broken off when the answer grows above 16 MiB", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    const client = scene.ask({ stream: false });
    const sent = scene.requestOf(mac);
    scene.accept(sent);
    for (let i = 0; i < 16; i++) scene.rawBytes(sent, "x".repeat(MIB));
    expect(client.ended).toBeNull();
    scene.rawBytes(sent, "x");
    expect(client.refusedWith).toBe("provider_error");
    expect(mac.socket.take("cancel")).toHaveLength(1);
  });
});

describe("a machine that makes much of little", () => {
  it.each([true, false])("keeps its frames in memory by no small part of them (streamed: %s)", (stream) => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    const client = scene.ask({ stream });
    const sent = scene.requestOf(mac);
    scene.accept(sent);
    const event = new TextEncoder().encode("data: a\n\n");
    const frame = encodeRecords([
      { stream: Number(sent.request["stream"]), chunks: [event] },
      { stream: 99, chunks: [new Uint8Array(MIB)] },
    ]);
    scene.pool.receiveFrame(mac.connection, frame.buffer, scene.now);
    scene.complete(sent);
    expect(client.text).toBe("a");
    expect(client.heldBytes).toBe(event.length);
  });

  it("may not send an answer in more pieces than there is room for", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    const client = scene.ask({ stream: false });
    const sent = scene.requestOf(mac);
    scene.accept(sent);
    const byte = { stream: Number(sent.request["stream"]), chunks: [new Uint8Array(1)] };
    const frame = encodeRecords(Array.from({ length: (16 * MIB) / 128 }, () => byte));
    scene.pool.receiveFrame(mac.connection, frame.buffer, scene.now);
    expect(client.ended).toBeNull();
    scene.pool.receiveFrame(mac.connection, encodeRecords([byte]).buffer, scene.now);
    expect(client.refusedWith).toBe("provider_error");
  });
});

describe("long bodies", () => {
  const bodyOf = (length: number): string => `{"x":"${"y".repeat(length - 8)}"}`;
  const long = bodyOf(16 * MIB);

  it("are 48 MiB together at most, and keep no short one away", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1", { max_concurrency: 1 });
    const first = scene.ask({ body: long });
    const waiting = [scene.ask({ body: long }), scene.ask({ body: long })];
    const last = scene.ask({ body: long });
    expect(last.refusal).toMatchObject({
      code: "queue_full",
      message: expect.stringContaining("long") as string,
    });
    expect(scene.ask({ body: bodyOf(MIB / 4) }).ended).toBeNull();
    expect([first, ...waiting].map(({ ended }) => ended)).toEqual([null, null, null]);
    scene.serve(scene.requestOf(mac), "done");
    expect(scene.ask({ body: long }).ended).toBeNull();
    expect(scene.ask({ body: long }).refusedWith).toBe("queue_full");
  });
});

describe("a comment", () => {
  it("goes out after 3 s without a byte and every 3 s from then on", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    const client = scene.ask();
    scene.accept(scene.requestOf(mac));
    scene.advance(2750, mac);
    expect(client.text).toBe("");
    scene.advance(250, mac);
    expect(client.text).toBe(": keep-alive\n\n");
    scene.advance(6000, mac);
    expect(client.comments).toBe(3);
    expect(client.content).toBe("");
  });

  it("also bridges a silence in the middle of an answer", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    const client = scene.ask();
    const sent = scene.requestOf(mac);
    scene.accept(sent);
    scene.advance(2000, mac);
    scene.bytes(sent, "one ");
    scene.advance(2750, mac);
    expect(client.comments).toBe(0);
    scene.advance(500, mac);
    expect(client.text).toBe("one : keep-alive\n\n");
  });

  it("commits the stream, so that a later failure is an event and not a status", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    const client = scene.ask();
    const sent = scene.requestOf(mac);
    scene.accept(sent);
    scene.advance(3250, mac);
    scene.error(sent, "client", "unsupported");
    expect(client.brokenWith).toBe("unsupported");
  });

  it("does not keep a failed attempt from being repeated", () => {
    const scene = new PoolScene();
    const [first, second] = [scene.join("mac-1"), scene.join("mac-2")];
    const client = scene.ask();
    const sent = scene.requestOf(first);
    scene.accept(sent);
    scene.advance(3250, first, second);
    scene.error(sent, "fault", "broken");
    scene.serve(scene.requestOf(second), "late but whole");
    expect(client.content).toBe("late but whole");
    expect(client.ended).toBe("finished");
  });

  it("is never sent to a client that wants no stream", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    const client = scene.ask({ stream: false });
    scene.accept(scene.requestOf(mac));
    scene.advance(30_000, mac);
    expect(client.text).toBe("");
    expect(client.ended).toBeNull();
  });

  it("is not sent while a request waits in line, where a refusal must still be a status", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1", { max_concurrency: 1 });
    scene.ask({ stream: false });
    const waiting = scene.ask();
    scene.advance(5000, mac);
    expect(waiting.text).toBe("");
  });

  it("goes on for a stream that has begun and is back in line", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    const client = scene.ask();
    scene.accept(scene.requestOf(mac));
    scene.advance(3250, mac);
    scene.lose(mac);
    scene.advance(3250);
    expect(client.comments).toBe(2);
    scene.advance(3000);
    expect(client.brokenWith).toBe("provider_error");
  });
});

describe("usage", () => {
  it("counts the tokens of an answer as its machine did", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    scene.ask();
    scene.serve(scene.requestOf(mac), "x");
    expect(scene.pool.ledger.usage.drain()).toEqual([
      {
        hourAt: 0,
        keyId: "key",
        outcome: "ok",
        requests: 1,
        promptTokens: 5,
        completionTokens: 2,
        cachedTokens: 1,
      },
    ]);
  });

  it("counts each request once, whatever its end", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1", { max_concurrency: 1 });
    scene.ask();
    scene.serve(scene.requestOf(mac), "x");
    scene.ask();
    scene.error(scene.requestOf(mac), "client", "context_length_exceeded");
    scene.ask();
    scene.error(scene.requestOf(mac), "fault", "crash");
    const gone = scene.ask();
    scene.pool.abandon(gone.request, scene.now);
    scene.pool.abandon(gone.request, scene.now);
    scene.heartbeat(mac, { running: 2 });
    const late = scene.ask();
    scene.advance(7000, mac);
    expect(late.refusedWith).toBe("queue_timeout");
    expect(scene.outcomes()).toEqual({
      ok: 1,
      context_length_exceeded: 1,
      provider_error: 1,
      cancelled: 1,
      queue_timeout: 1,
    });
  });
});
