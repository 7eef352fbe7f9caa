import { describe, expect, it } from "vitest";

import { PoolScene } from "./pool-scene.ts";

const KIB = 1024;

describe("a client that goes away", () => {
  it.each(["before it was accepted", "after it was accepted", "in the middle of the answer"])(
    "[F7] %s has its machine told once",
    (step) => {
      const scene = new PoolScene();
      const mac = scene.join("mac-1");
      const client = scene.ask();
      const sent = scene.requestOf(mac);
      if (step !== "before it was accepted") scene.accept(sent);
      if (step === "in the middle of the answer") scene.bytes(sent, "half");
      scene.pool.abandon(client.request, scene.now);
      scene.pool.abandon(client.request, scene.now);
      const { request_id, stream } = sent.request;
      expect(mac.socket.take("cancel")).toEqual([{ type: "cancel", request_id, stream }]);
      expect(client.ended).toBeNull();
      expect(scene.outcomes()).toEqual({ cancelled: 1 });
    },
  );

  it("[F7] keeps its slot taken until the machine has answered", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1", { max_concurrency: 1 });
    const client = scene.ask();
    const sent = scene.requestOf(mac);
    scene.accept(sent);
    scene.pool.abandon(client.request, scene.now);
    scene.ask();
    expect(scene.pool.report(scene.now, 4).machines).toMatchObject([{ inFlight: 1, freeSlots: 0 }]);
    expect(scene.requestsOf(mac)).toEqual([]);
    scene.error(sent, "cancelled", "cancelled");
    expect(scene.requestsOf(mac)).toHaveLength(1);
  });

  it("sees nothing of what its machine still says", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    const client = scene.ask();
    const sent = scene.requestOf(mac);
    scene.pool.abandon(client.request, scene.now);
    scene.serve(sent, "late");
    expect(client.text).toBe("");
    expect(client.ended).toBeNull();
    expect(scene.outcomes()).toEqual({ cancelled: 1 });
    expect(scene.pool.nextTickAt(scene.now)).toBeNull();
    // Two words crossed on the wire are nobody's mistake.
    expect(scene.pool.report(scene.now, 4).ignored).toMatchObject({ messages: 0, records: 0 });
  });

  it("does not come back when its machine refuses or is lost", () => {
    const scene = new PoolScene();
    const macs = [scene.join("mac-1"), scene.join("mac-2")] as const;
    for (const mac of macs) {
      const client = scene.ask();
      const sent = scene.requestOf(mac);
      scene.pool.abandon(client.request, scene.now);
      if (mac === macs[0]) scene.error(sent, "fault", "broken");
      else scene.lose(mac);
    }
    scene.advance(10_000, macs[0]);
    expect(scene.requestsOf(macs[0])).toEqual([]);
    expect(scene.pool.nextTickAt(scene.now)).toBeNull();
  });
});

describe("a client that reads slowly", () => {
  it.each([
    [64 * KIB, 0],
    [64 * KIB + 1, 1],
  ])("with %i bytes unread has its stream paused: %i", (undelivered, pauses) => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    const client = scene.ask();
    const sent = scene.requestOf(mac);
    scene.accept(sent);
    client.undelivered = undelivered;
    scene.bytes(sent, "a");
    scene.bytes(sent, "b");
    expect(mac.socket.take("pause")).toHaveLength(pauses);
    scene.pool.resume(client.request, scene.now);
    scene.pool.resume(client.request, scene.now);
    expect(mac.socket.take("resume")).toHaveLength(pauses);
  });

  it("may be paused again and again", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    const client = scene.ask();
    const sent = scene.requestOf(mac);
    const { stream } = sent.request;
    scene.accept(sent);
    for (let i = 0; i < 2; i++) {
      client.undelivered = 64 * KIB + 1;
      scene.bytes(sent, "a");
      expect(mac.socket.take("pause")).toEqual([{ type: "pause", stream }]);
      scene.pool.resume(client.request, scene.now);
      expect(mac.socket.take("resume")).toEqual([{ type: "resume", stream }]);
    }
  });

  it("is cut off above 1 MiB with an error event, and its machine is told to stop", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    const client = scene.ask();
    const sent = scene.requestOf(mac);
    scene.accept(sent);
    client.undelivered = 1024 * KIB;
    scene.bytes(sent, "a");
    expect(client.ended).toBeNull();
    client.undelivered = 1024 * KIB + 1;
    scene.bytes(sent, "b");
    expect(client.brokenWith).toBe("client_too_slow");
    expect(mac.socket.take("cancel")).toHaveLength(1);
    scene.bytes(sent, "c");
    expect(client.text).toBe("ab");
  });

  it("wakes nobody by catching up when its request is over", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    const client = scene.ask();
    const sent = scene.requestOf(mac);
    scene.accept(sent);
    client.undelivered = 64 * KIB + 1;
    scene.bytes(sent, "a");
    scene.finish(sent);
    scene.pool.resume(client.request, scene.now);
    expect(mac.socket.take("resume")).toEqual([]);
  });
});

describe("[H18] a request sent again under the same id", () => {
  it("replaces the one on a machine, whose late words then harm nobody", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    const first = scene.ask({ requestId: "req_same" });
    const earlier = scene.requestOf(mac);
    const second = scene.ask({ requestId: "req_same" });
    expect(mac.socket.take("cancel")).toMatchObject([{ stream: earlier.request["stream"] }]);
    const later = scene.requestOf(mac);
    expect(later.request["stream"]).not.toBe(earlier.request["stream"]);
    scene.accept(earlier);
    scene.bytes(earlier, "old");
    scene.serve(later, "new");
    scene.complete(earlier);
    expect(first.text).toBe("");
    expect(first.ended).toBeNull();
    expect(second.text).toBe("new");
    expect(scene.outcomes()).toEqual({ cancelled: 1, ok: 1 });
  });

  it("replaces the one in line", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1", { max_concurrency: 1 });
    scene.ask();
    const running = scene.requestOf(mac);
    const first = scene.ask({ requestId: "req_same" });
    const second = scene.ask({ requestId: "req_same" });
    expect(scene.pool.report(scene.now, 4).queued).toBe(1);
    scene.serve(running, "x");
    scene.serve(scene.requestOf(mac), "new");
    expect(first.ended).toBeNull();
    expect(second.text).toBe("new");
  });

  it("cannot be ended by the client of the first", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    const first = scene.ask({ requestId: "req_same" });
    scene.ask({ requestId: "req_same" });
    mac.socket.take("cancel");
    scene.pool.abandon(first.request, scene.now);
    expect(mac.socket.take("cancel")).toEqual([]);
  });
});
