import { describe, expect, it } from "vitest";

import { PoolScene } from "./fake-pool.ts";

describe("a request", () => {
  it("streams from the machine to the client and frees its slot", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    const client = scene.ask();
    const sent = scene.requestOf(mac);
    scene.accept(sent);
    scene.bytes(sent, "one ");
    scene.bytes(sent, "two");
    scene.complete(sent);
    expect(client.text).toBe("one two");
    expect(client.ended).toBe("finished");
    expect(scene.pool.nextTickAt(scene.now)).toBeNull();
    expect(scene.pool.usage.drain()).toMatchObject([
      { outcome: "ok", requests: 1, promptTokens: 5, completionTokens: 2 },
    ]);
  });

  it("that is not streamed is collected and answered whole", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    const client = scene.ask({ stream: false });
    const sent = scene.requestOf(mac);
    scene.accept(sent);
    scene.bytes(sent, '{"a":');
    expect(client.text).toBe("");
    scene.bytes(sent, "1}");
    scene.complete(sent);
    expect(client.text).toBe('{"a":1}');
    expect(client.ended).toBe("complete");
  });

  it("is refused at once when no machine serves the model", () => {
    const scene = new PoolScene();
    expect(scene.ask().refusedWith).toBe("model_unavailable");
  });

  it.each([
    ["capacity", "no_free_slot"],
    ["fault", "engine_crashed"],
    ["cancelled", "odd"],
  ])(
    "[F15] that fails with class %s before its first byte is tried on another machine",
    (errorClass, code) => {
      const scene = new PoolScene();
      const [first, second] = [scene.join("mac-1"), scene.join("mac-2")];
      const client = scene.ask();
      scene.error(scene.requestOf(first), errorClass, code);
      const retried = scene.requestOf(second);
      scene.accept(retried);
      scene.bytes(retried, "ok");
      scene.complete(retried);
      expect(client.text).toBe("ok");
      expect(client.ended).toBe("finished");
    },
  );

  it("[F15] that the client got wrong is never tried on a second machine", () => {
    const scene = new PoolScene();
    const [first, second] = [scene.join("mac-1"), scene.join("mac-2")];
    const client = scene.ask();
    scene.error(scene.requestOf(first), "client", "context_length_exceeded");
    expect(client.refusedWith).toBe("context_length_exceeded");
    expect(scene.requestsOf(second)).toEqual([]);
  });

  it("is tried on three machines at most", () => {
    const scene = new PoolScene();
    const macs = ["mac-1", "mac-2", "mac-3", "mac-4"].map((id) => scene.join(id));
    const client = scene.ask();
    let tries = 0;
    for (const mac of macs) {
      for (const sent of scene.requestsOf(mac)) {
        tries += 1;
        scene.error(sent, "fault", "broken");
      }
    }
    expect(tries).toBe(3);
    expect(client.refusedWith).toBe("provider_error");
  });

  it("ends with an error event when its machine is lost after the first byte", () => {
    const scene = new PoolScene();
    const [first, second] = [scene.join("mac-1"), scene.join("mac-2")];
    const client = scene.ask();
    const sent = scene.requestOf(first);
    scene.accept(sent);
    scene.bytes(sent, "half");
    scene.lose(first);
    expect(client.brokenWith).toBe("provider_error");
    expect(scene.requestsOf(second)).toEqual([]);
  });

  it("waits for a machine that was lost before the first byte to come back", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    const client = scene.ask();
    scene.requestOf(mac);
    scene.lose(mac);
    scene.advance(1500);
    expect(client.ended).toBeNull();
    const sent = scene.requestOf(scene.join("mac-1"));
    scene.accept(sent);
    scene.bytes(sent, "back");
    scene.complete(sent);
    expect(client.text).toBe("back");
  });

  it("[H18] sent again under the same id replaces the first", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    const first = scene.ask({ requestId: "req_same" });
    const earlier = scene.requestOf(mac);
    const second = scene.ask({ requestId: "req_same" });
    expect(mac.socket.take("cancel")).toMatchObject([{ stream: earlier.request["stream"] }]);
    const later = scene.requestOf(mac);
    scene.accept(earlier);
    scene.bytes(earlier, "old");
    scene.accept(later);
    scene.bytes(later, "new");
    scene.complete(later);
    expect(first.ended).toBeNull();
    expect(first.text).toBe("");
    expect(second.text).toBe("new");
  });

  it("gets a comment after 3 s without a byte, and then fails in band", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    const client = scene.ask();
    const sent = scene.requestOf(mac);
    scene.accept(sent);
    scene.advance(2750);
    expect(client.text).toBe("");
    scene.advance(500);
    expect(client.text).toBe(": keep-alive\n\n");
    scene.error(sent, "client", "unsupported");
    expect(client.brokenWith).toBe("unsupported");
  });

  it("that is not streamed gets no comment", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    const client = scene.ask({ stream: false });
    scene.accept(scene.requestOf(mac));
    scene.advance(30_000, [mac]);
    expect(client.text).toBe("");
    expect(client.ended).toBeNull();
  });

  it.each([
    ["does not accept within 10 s", 10_000, "wait"],
    ["accepts and then sends no byte for a minute", 60_000, "accept"],
  ] as const)("goes to another machine when the first %s", (_, wait, step) => {
    const scene = new PoolScene();
    const [first, second] = [scene.join("mac-1"), scene.join("mac-2")];
    scene.ask();
    const sent = scene.requestOf(first);
    if (step === "accept") scene.accept(sent);
    scene.advance(wait - 500, [first, second]);
    expect(scene.requestsOf(second)).toEqual([]);
    scene.advance(1000, [first, second]);
    expect(scene.requestsOf(second)).toHaveLength(1);
    expect(first.socket.take("cancel")).toHaveLength(1);
  });

  it("is ended after 10 minutes, whatever happens", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    const client = scene.ask({ stream: false });
    scene.accept(scene.requestOf(mac));
    scene.advance(599_000, [mac]);
    expect(client.ended).toBeNull();
    scene.advance(1500, [mac]);
    expect(client.refusedWith).toBe("deadline_exceeded");
    expect(mac.socket.take("cancel")).toHaveLength(1);
  });
});

describe("a client", () => {
  it("[F7] that goes away has its machine told, and the slot stays taken until the machine has answered", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1", { max_concurrency: 1 });
    const client = scene.ask();
    const sent = scene.requestOf(mac);
    scene.accept(sent);
    scene.pool.abandon(client.request, scene.now);
    expect(mac.socket.take("cancel")).toHaveLength(1);
    const next = scene.ask();
    expect(scene.requestsOf(mac)).toEqual([]);
    scene.error(sent, "cancelled", "cancelled");
    expect(scene.requestsOf(mac)).toHaveLength(1);
    expect(next.ended).toBeNull();
    expect(client.endings).toBe(0);
  });

  it("that went away has its slot back after 5 s even if the machine never answers", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1", { max_concurrency: 1 });
    scene.pool.abandon(scene.ask().request, scene.now);
    scene.requestOf(mac);
    scene.ask();
    scene.advance(4500);
    expect(scene.requestsOf(mac)).toEqual([]);
    scene.advance(1000);
    expect(scene.requestsOf(mac)).toHaveLength(1);
  });

  it("that reads slowly has its stream paused once and resumed once", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    const client = scene.ask();
    const sent = scene.requestOf(mac);
    scene.accept(sent);
    client.undelivered = 70_000;
    scene.bytes(sent, "a");
    scene.bytes(sent, "b");
    expect(mac.socket.take("pause")).toEqual([{ type: "pause", stream: sent.request["stream"] }]);
    scene.pool.resume(client.request);
    scene.pool.resume(client.request);
    expect(mac.socket.take("resume")).toHaveLength(1);
  });

  it("that lets more than 1 MiB pile up gets an error event and its machine is told to stop", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    const client = scene.ask();
    const sent = scene.requestOf(mac);
    scene.accept(sent);
    client.undelivered = 1024 * 1024 + 1;
    scene.bytes(sent, "a");
    expect(client.brokenWith).toBe("client_too_slow");
    expect(mac.socket.take("cancel")).toHaveLength(1);
  });
});

describe("the queue", () => {
  it("hands freed slots to the longest waiting", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1", { max_concurrency: 1 });
    scene.ask({ requestId: "req_a" });
    scene.ask({ requestId: "req_b" });
    scene.ask({ requestId: "req_c" });
    const order = [];
    for (let i = 0; i < 3; i++) {
      const sent = scene.requestOf(mac);
      order.push(sent.request["request_id"]);
      scene.accept(sent);
      scene.bytes(sent, "x");
      scene.complete(sent);
    }
    expect(order).toEqual(["req_a", "req_b", "req_c"]);
  });

  it("refuses the 33rd waiting request, and the others after 6 s", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1", { max_concurrency: 1 });
    scene.ask();
    scene.accept(scene.requestOf(mac));
    const waiting = Array.from({ length: 32 }, () => scene.ask());
    expect(scene.ask().refusedWith).toBe("queue_full");
    scene.advance(5500);
    expect(waiting.every((client) => client.ended === null && client.text === "")).toBe(true);
    scene.advance(1000);
    expect(waiting.map((client) => client.refusedWith)).toEqual(waiting.map(() => "queue_timeout"));
  });

  it("is served by a machine that joins", () => {
    const scene = new PoolScene();
    scene.join("mac-1", { max_concurrency: 1 });
    scene.ask();
    const waiting = scene.ask();
    expect(scene.requestsOf(scene.join("mac-2"))).toHaveLength(1);
    expect(waiting.ended).toBeNull();
  });

  it("asks a machine that refused for lack of room again once its heartbeat shows room", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    scene.ask();
    scene.error(scene.requestOf(mac), "capacity", "no_free_slot");
    expect(scene.requestsOf(mac)).toEqual([]);
    scene.heartbeat(mac);
    expect(scene.requestsOf(mac)).toHaveLength(1);
  });

  it("[H19] waits after a restart for machines that were here, and only for those", () => {
    const scene = new PoolScene(["mac-1"]);
    const early = scene.ask();
    expect(early.ended).toBeNull();
    scene.requestOf(scene.join("mac-1"));
    const late = new PoolScene(["mac-1"]);
    late.advance(11_000);
    expect(late.ask().refusedWith).toBe("model_unavailable");
  });
});

describe("a machine", () => {
  it("[H12] has as many free slots as the larger of its own count and the pool's leaves", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1", { max_concurrency: 3 });
    // All three are taken by its other pools.
    scene.heartbeat(mac, { running: 3, max_concurrency: 3 });
    for (let i = 0; i < 4; i++) scene.ask();
    expect(scene.requestsOf(mac)).toEqual([]);
    // None is, as far as it knows yet; but after three of ours the pool knows better.
    scene.heartbeat(mac, { running: 0, max_concurrency: 3 });
    expect(scene.requestsOf(mac)).toHaveLength(3);
  });

  it("[H12] is not asked to swap models while it runs something", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1", { loaded_models: ["other"] });
    scene.heartbeat(mac, { loaded_models: ["other"], running: 1 });
    scene.ask();
    expect(scene.requestsOf(mac)).toEqual([]);
    scene.heartbeat(mac, { loaded_models: ["other"], running: 0 });
    expect(scene.requestsOf(mac)).toHaveLength(1);
  });

  it.each([
    ["does not accept work", { accepting: false }],
    ["is too hot", { thermal_state: "critical" }],
  ])("is not routable when it %s", (_, fields) => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    scene.heartbeat(mac, fields);
    expect(scene.ask().refusedWith).toBe("model_unavailable");
  });

  it.each([
    ["that serves only its owner", { private_only: true }],
    ["without the model", { models: [] }],
  ])("%s gets no public request", (_, fields) => {
    const scene = new PoolScene();
    scene.join("mac-1", fields);
    expect(scene.ask().refusedWith).toBe("model_unavailable");
  });

  it("with the model loaded is preferred to one that would have to swap", () => {
    const scene = new PoolScene();
    scene.join("mac-1", { loaded_models: ["other"] });
    const loaded = scene.join("mac-2");
    scene.ask();
    expect(scene.requestsOf(loaded)).toHaveLength(1);
  });

  it("shares the load with its equals", () => {
    const scene = new PoolScene();
    const macs = [scene.join("mac-1"), scene.join("mac-2")];
    scene.ask();
    scene.ask();
    expect(macs.map((mac) => scene.requestsOf(mac).length)).toEqual([1, 1]);
  });

  it("[H11] replaces its older socket only once its register is admitted", () => {
    const scene = new PoolScene();
    const older = scene.join("mac-1");
    const running = scene.ask();
    const sent = scene.requestOf(older);
    scene.accept(sent);
    scene.bytes(sent, "half");
    const newer = scene.dial("mac-1");
    scene.register(newer);
    expect(older.socket.closed).toBeNull();
    scene.admit(newer);
    expect(older.socket.closed?.reason).toBe("superseded");
    expect(running.brokenWith).toBe("provider_error");
    scene.ask();
    expect(scene.requestsOf(newer)).toHaveLength(1);
  });

  it("[H22] with a foreign key is turned away before it replaces anything", () => {
    const scene = new PoolScene();
    const owner = scene.join("mac-1");
    const thief = scene.dial("mac-1");
    scene.register(thief);
    scene.admit(thief, { admitted: false, close: "foreignKey" });
    expect(thief.socket.closed?.reason).toBe("foreignKey");
    expect(owner.socket.closed).toBeNull();
    scene.ask();
    expect(scene.requestsOf(owner)).toHaveLength(1);
  });

  it("[H20] that falls silent for 60 s loses its requests to another", () => {
    const scene = new PoolScene();
    const [silent, alive] = [scene.join("mac-1"), scene.join("mac-2", { max_concurrency: 1 })];
    scene.ask({ stream: false });
    scene.accept(scene.requestOf(silent));
    scene.advance(59_000, [alive]);
    expect(silent.socket.closed).toBeNull();
    scene.advance(11_000, [alive]);
    expect(silent.socket.closed?.reason).toBe("silent");
    expect(scene.requestsOf(alive)).toHaveLength(1);
  });

  it("[H20] that only pings is alive", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    scene.ask({ stream: false });
    scene.accept(scene.requestOf(mac));
    scene.advance(120_000, [mac]);
    expect(mac.socket.closed).toBeNull();
  });

  it("that does not register within 10 s is closed", () => {
    const scene = new PoolScene();
    const mac = scene.dial("mac-1");
    const tickAt = scene.pool.nextTickAt(scene.now);
    expect(tickAt).not.toBeNull();
    scene.now = Number(tickAt);
    scene.pool.tick(scene.now);
    expect(mac.socket.closed?.reason).toBe("notRegistered");
    expect(scene.pool.nextTickAt(scene.now)).toBeNull();
  });

  it("never gets a stream number twice, also after the pool has slept", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1", { max_concurrency: 4 });
    scene.ask();
    const before = Number(scene.requestOf(mac).request["stream"]);
    const awake = new PoolScene();
    const again = awake.dial("mac-1", mac.socket.saved);
    awake.ask();
    expect(Number(awake.requestOf(again).request["stream"])).toBeGreaterThan(before);
  });
});

describe("a provider's wrong frame", () => {
  it.each([
    ["text that is no JSON", "{"],
    ["a message before register", '{"type":"inference_accepted","request_id":"r","stream":1}'],
    ["a text of 300 KiB", JSON.stringify({ type: "heartbeat", filler: "x".repeat(300 * 1024) })],
  ])("closes only its sender: %s", (_, text) => {
    const scene = new PoolScene();
    const good = scene.join("mac-1");
    const client = scene.ask();
    const sent = scene.requestOf(good);
    const bad = scene.dial("mac-2");
    scene.pool.receive(bad.connection, text, scene.now);
    expect(bad.socket.closed?.reason).toBe("badMessage");
    scene.accept(sent);
    scene.bytes(sent, "fine");
    scene.complete(sent);
    expect(client.text).toBe("fine");
  });

  it("of an unknown type is ignored", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    scene.say(mac, { type: "sing" });
    expect(mac.socket.closed).toBeNull();
    expect(scene.pool.report(scene.now, 4).ignored.unknownTypes).toBe(1);
  });

  it("for another machine's stream changes nothing", () => {
    const scene = new PoolScene();
    const [one, other] = [scene.join("mac-1"), scene.join("mac-2")];
    const client = scene.ask();
    const sent = scene.requestOf(one);
    scene.accept(sent);
    const foreign = { ...sent, machine: other };
    scene.bytes(foreign, "evil");
    scene.complete(foreign);
    scene.error(foreign, "fault", "evil");
    expect(client.text).toBe("");
    expect(client.ended).toBeNull();
    scene.bytes(sent, "good");
    scene.complete(sent);
    expect(client.text).toBe("good");
    expect(scene.pool.report(scene.now, 4).ignored).toMatchObject({ records: 1, messages: 2 });
  });

  it("with bytes before it accepted costs it the attempt", () => {
    const scene = new PoolScene();
    const [first, second] = [scene.join("mac-1"), scene.join("mac-2")];
    const client = scene.ask();
    scene.bytes(scene.requestOf(first), "early");
    expect(client.text).toBe("");
    expect(scene.requestsOf(second)).toHaveLength(1);
  });

  it("that completes without an answer costs it the attempt", () => {
    const scene = new PoolScene();
    const [first, second] = [scene.join("mac-1"), scene.join("mac-2")];
    scene.ask();
    const sent = scene.requestOf(first);
    scene.accept(sent);
    scene.complete(sent);
    expect(scene.requestsOf(second)).toHaveLength(1);
  });

  it("whose lengths do not add up closes its socket and retries its requests", () => {
    const scene = new PoolScene();
    const [first, second] = [scene.join("mac-1"), scene.join("mac-2")];
    scene.ask();
    scene.accept(scene.requestOf(first));
    scene.pool.receiveFrame(first.connection, new ArrayBuffer(7), scene.now);
    expect(first.socket.closed?.reason).toBe("badMessage");
    expect(scene.requestsOf(second)).toHaveLength(1);
  });
});

it("a revoked token closes every socket dialed with it", () => {
  const scene = new PoolScene();
  const mac = scene.join("mac-1");
  scene.pool.revoke("other", scene.now);
  expect(mac.socket.closed).toBeNull();
  scene.pool.revoke("t", scene.now);
  expect(mac.socket.closed?.reason).toBe("notAllowed");
});
