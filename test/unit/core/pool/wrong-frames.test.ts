import { describe, expect, it } from "vitest";

import { encodeRecords } from "../../../../protocol/records.ts";
import { PoolScene, type Sent } from "./pool-scene.ts";

describe("a provider's wrong frame closes its socket and no other:", () => {
  it.each([
    ["text that is no JSON", "{", "not JSON"],
    ["JSON that is no message", "[]", "not an object with a type"],
    ["a message that lacks a field", '{"type":"heartbeat"}', "heartbeat: loaded_models"],
    ["300 KiB of text", JSON.stringify({ type: "sing", filler: "x".repeat(300 * 1024) }), "too large"],
  ])("%s", (_, text, detail) => {
    const scene = new PoolScene();
    const [good, bad] = [scene.join("mac-1"), scene.join("mac-2")];
    const client = scene.ask();
    const sent = scene.requestOf(good);
    scene.pool.receive(bad.connection, text, scene.now);
    expect(bad.socket.closed?.reason).toBe("badMessage");
    expect(bad.socket.closed?.detail).toContain(detail);
    scene.serve(sent, "fine");
    expect(client.text).toBe("fine");
    expect(scene.pool.report(scene.now, 4).machines).toHaveLength(1);
  });

  it.each([
    ["an inference_accepted", (scene: PoolScene, sent: Sent) => scene.accept(sent)],
    ["a heartbeat", (scene: PoolScene, sent: Sent) => scene.heartbeat(sent.machine)],
    ["a binary frame", (scene: PoolScene, sent: Sent) => scene.bytes(sent, "x")],
  ])("%s before register", (_, send) => {
    const scene = new PoolScene();
    const machine = scene.dial("mac-1");
    send(scene, { machine, request: { type: "", request_id: "r", stream: 0 } });
    expect(machine.socket.closed?.reason).toBe("badMessage");
  });

  it("a binary frame between register and registered", () => {
    const scene = new PoolScene();
    const machine = scene.dial("mac-1");
    scene.register(machine);
    scene.pool.receiveFrame(machine.connection, new ArrayBuffer(0), scene.now);
    expect(machine.socket.closed?.reason).toBe("badMessage");
    scene.admit(machine);
    expect(scene.pool.report(scene.now, 4).machines).toEqual([]);
  });

  it("nothing of it is heard afterwards", () => {
    const scene = new PoolScene();
    const machine = scene.join("mac-1");
    const client = scene.ask();
    const sent = scene.requestOf(machine);
    scene.accept(sent);
    scene.pool.receiveFrame(machine.connection, new ArrayBuffer(1), scene.now);
    const ended = client.ended;
    expect(ended).not.toBeNull();
    scene.bytes(sent, "ghost");
    scene.pool.receiveFrame(machine.connection, new ArrayBuffer(1), scene.now);
    scene.complete(sent);
    scene.register(machine);
    expect(client.ended).toBe(ended);
    expect(client.text).toBe("");
    expect(scene.questions).toHaveLength(1);
  });
});

describe("a frame that belongs to nothing is counted and dropped:", () => {
  /** Two machines, of which the first runs a request. */
  function running() {
    const scene = new PoolScene();
    const [one, other] = [scene.join("mac-1"), scene.join("mac-2")];
    const client = scene.ask();
    const sent = scene.requestOf(one);
    scene.accept(sent);
    return { scene, one, other, client, sent };
  }

  it("an unknown type", () => {
    const { scene, one } = running();
    scene.say(one, { type: "sing" });
    expect(one.socket.closed).toBeNull();
    expect(scene.pool.report(scene.now, 4).ignored.unknownTypes).toBe(1);
  });

  it.each([
    ["accepts it", (scene: PoolScene, sent: Sent) => scene.accept(sent), { messages: 1 }],
    ["sends bytes for it", (scene: PoolScene, sent: Sent) => scene.bytes(sent, "evil"), { records: 1 }],
    ["completes it", (scene: PoolScene, sent: Sent) => scene.complete(sent), { messages: 1 }],
    ["fails it", (scene: PoolScene, sent: Sent) => scene.error(sent, "client", "evil"), { messages: 1 }],
  ])("another machine that %s", (_, send, ignored) => {
    const { scene, other, client, sent } = running();
    send(scene, { ...sent, machine: other });
    expect(scene.pool.report(scene.now, 4).ignored).toMatchObject(ignored);
    expect(other.socket.closed).toBeNull();
    scene.bytes(sent, "good");
    scene.finish(sent);
    expect(client.text).toBe("good");
    expect(scene.outcomes()).toEqual({ ok: 1 });
  });

  it.each([
    ["another request's id on its stream", { request_id: "req_other" }],
    ["its id on another stream", { stream: 77 }],
  ])("%s", (_, fields) => {
    const { scene, client, sent } = running();
    const wrong = { ...sent, request: { ...sent.request, ...fields } };
    scene.complete(wrong);
    scene.error(wrong, "fault", "wrong");
    scene.accept(wrong);
    expect(client.ended).toBeNull();
    expect(scene.pool.report(scene.now, 4).ignored.messages).toBe(3);
  });

  it("an acceptance that comes twice", () => {
    const { scene, client, sent } = running();
    scene.bytes(sent, "one ");
    scene.accept(sent);
    expect(scene.pool.report(scene.now, 4).ignored.messages).toBe(1);
    scene.bytes(sent, "two");
    scene.finish(sent);
    expect(client.text).toBe("one two");
  });

  it("a completion that comes twice", () => {
    const { scene, client, sent } = running();
    scene.bytes(sent, "once");
    scene.finish(sent);
    scene.complete(sent);
    expect(client.ended).toBe("finished");
    expect(scene.outcomes()).toEqual({ ok: 1 });
  });

  it("[F3] a status about an assignment, and a proof nobody asked for", () => {
    const { scene, one, client } = running();
    scene.say(one, { type: "assign_model_status", model_id: "m", epoch: 2 ** 48, status: "succeeded" });
    scene.say(one, { type: "attestation_response", nonce: "n", signature: "s", status: "{}" });
    expect(one.socket.closed).toBeNull();
    expect(client.ended).toBeNull();
    expect(scene.pool.report(scene.now, 4).ignored).toMatchObject({ messages: 1, statuses: 1 });
  });

  it("records of closed streams do not keep the others in their frame from arriving", () => {
    const { scene, client, sent } = running();
    const utf8 = new TextEncoder();
    const frame = encodeRecords([
      { stream: 99, chunks: [utf8.encode("!")] },
      { stream: Number(sent.request["stream"]), chunks: [utf8.encode("data: ok\n\n")] },
    ]);
    scene.pool.receiveFrame(sent.machine.connection, frame.buffer, scene.now);
    expect(client.text).toBe("ok");
    expect(scene.pool.report(scene.now, 4).ignored.records).toBe(1);
  });
});

describe("a machine that holds something else with each heartbeat", () => {
  const held = (epoch: number): object => ({ assignment: { model_id: "m", epoch } });

  it.each([
    ["another assignment", (at: number) => held(at + 1)],
    ["other models", (at: number) => ({ loaded_models: at % 2 === 0 ? [] : ["m"] })],
  ])("is heard 60 times a minute, then its socket is closed: %s", (_, fieldsAt) => {
    const scene = new PoolScene();
    const [fickle, steady] = [scene.join("mac-1"), scene.join("mac-2")];
    for (let at = 0; at < 60; at++) scene.heartbeat(fickle, fieldsAt(at));
    scene.heartbeat(fickle, fieldsAt(59));
    expect(fickle.socket.closed).toBeNull();
    const news = scene.news.length;
    scene.heartbeat(fickle, fieldsAt(60));
    expect(fickle.socket.closed?.reason).toBe("badMessage");
    const again = scene.join("mac-1");
    scene.heartbeat(again, held(99));
    expect(again.socket.closed?.reason).toBe("badMessage");
    expect(scene.news.length).toBe(news);
    scene.heartbeat(steady, held(1));
    expect(steady.socket.closed).toBeNull();
    scene.now += 60_000;
    const later = scene.join("mac-1");
    scene.heartbeat(later, held(100));
    expect(later.socket.closed).toBeNull();
  });
});
