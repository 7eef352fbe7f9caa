import { describe, expect, it } from "vitest";

import { PoolScene, type Machine, type Sent } from "./pool-scene.ts";

/** A scene in which the first of two machines has a request and the second has seen nothing of it. */
function twoMachines(
  registered: object = {},
  body = "{}",
): { scene: PoolScene; sent: Sent; second: Machine } {
  const scene = new PoolScene();
  const first = scene.join("mac-1", registered);
  scene.ask({ body });
  return { scene, sent: scene.requestOf(first), second: scene.join("mac-2", registered) };
}

/** That the request goes to the second machine after `waitMs` of silence of the first, and no sooner. */
function expectMoveAfter(
  { scene, sent, second }: { scene: PoolScene; sent: Sent; second: Machine },
  waitMs: number,
): void {
  scene.advance(waitMs - 250, sent.machine, second);
  expect(scene.requestsOf(second)).toEqual([]);
  scene.advance(250, sent.machine, second);
  expect(scene.requestsOf(second)).toHaveLength(1);
  expect(sent.machine.socket.take("cancel")).toMatchObject([{ stream: sent.request["stream"] }]);
}

describe("a machine", () => {
  it("with the model loaded has 10 s to accept", () => {
    expectMoveAfter(twoMachines(), 10_000);
  });

  it("that must load the model first has 190 s to accept", () => {
    expectMoveAfter(twoMachines({ loaded_models: [] }), 190_000);
  });

  it("keeps its 190 s when it reports the model loaded before it accepts", () => {
    const trial = twoMachines({ loaded_models: [] });
    trial.scene.advance(60_000, trial.sent.machine, trial.second);
    trial.scene.heartbeat(trial.sent.machine, { running: 1 });
    expectMoveAfter(trial, 130_000);
  });

  it("has 60 s from acceptance to the first byte of a stream", () => {
    const trial = twoMachines();
    trial.scene.advance(5000, trial.sent.machine, trial.second);
    trial.scene.accept(trial.sent);
    // And 20 ms for the one token of an empty prompt, so that it shows at the next tick.
    expectMoveAfter(trial, 60_250);
  });

  it("has another 20 ms to the first byte for each token of the prompt, at four bytes a token", () => {
    const trial = twoMachines({}, JSON.stringify({ filler: "x".repeat(40_000 - 13) }));
    trial.scene.accept(trial.sent);
    expectMoveAfter(trial, 60_000 + 200_000);
  });

  it("may be silent for a minute in the middle of a stream, no longer", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    const client = scene.ask();
    const sent = scene.requestOf(mac);
    scene.accept(sent);
    scene.bytes(sent, "one ");
    scene.advance(50_000, mac);
    scene.bytes(sent, "two ");
    scene.advance(59_750, mac);
    expect(client.ended).toBeNull();
    scene.advance(250, mac);
    expect(client.brokenWith).toBe("provider_error");
    expect(mac.socket.take("cancel")).toHaveLength(1);
  });

  it("may take as long as the request for an answer that is not streamed", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    const client = scene.ask({ stream: false });
    const sent = scene.requestOf(mac);
    scene.accept(sent);
    scene.bytes(sent, "half ");
    scene.advance(599_000, mac);
    expect(client.ended).toBeNull();
    scene.bytes(sent, "whole");
    scene.complete(sent);
    expect(client.text).toBe("half whole");
  });
});

describe("a paused stream", () => {
  function pausedStream(fields: { max_concurrency?: number } = {}) {
    const scene = new PoolScene();
    const mac = scene.join("mac-1", fields);
    const client = scene.ask();
    const sent = scene.requestOf(mac);
    scene.accept(sent);
    client.undelivered = 100_000;
    scene.bytes(sent, "much");
    client.undelivered = 0;
    return { scene, mac, client, sent };
  }

  it("may stay paused for longer than a minute, and gets no comments", () => {
    const { scene, mac, client, sent } = pausedStream();
    scene.advance(120_000, mac);
    expect(client.text).toBe("much");
    expect(client.ended).toBeNull();
    scene.pool.resume(client.request, scene.now);
    scene.bytes(sent, " more");
    scene.finish(sent);
    expect(client.text).toBe("much more");
  });

  it("has its minute of silence anew once it is resumed", () => {
    const { scene, mac, client } = pausedStream();
    scene.advance(120_000, mac);
    scene.pool.resume(client.request, scene.now);
    scene.advance(59_750, mac);
    expect(client.ended).toBeNull();
    scene.advance(250, mac);
    expect(client.brokenWith).toBe("provider_error");
  });

  it("that has been paused for a minute ends when another waits for its slot, by nobody's fault but its client's", () => {
    const { scene, mac, client } = pausedStream({ max_concurrency: 1 });
    scene.advance(59_000, mac);
    const patient = scene.ask();
    scene.advance(750, mac);
    expect(client.ended).toBeNull();
    scene.advance(250, mac);
    expect(client.brokenWith).toBe("client_too_slow");
    expect(mac.socket.take("cancel")).toHaveLength(1);
    expect(mac.connection.breaker).toBeNull();
    scene.advance(5000, mac);
    expect(patient.ended).toBeNull();
    scene.serve(scene.requestOf(mac), "late");
    expect(patient.text).toBe("late");
  });

  it("ends with its request", () => {
    const { scene, mac, client } = pausedStream();
    scene.advance(600_000, mac);
    expect(client.brokenWith).toBe("deadline_exceeded");
  });
});

describe("after 10 minutes a request is ended", () => {
  it("with a status if nothing was sent", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    const client = scene.ask({ stream: false });
    scene.accept(scene.requestOf(mac));
    scene.advance(599_750, mac);
    expect(client.ended).toBeNull();
    scene.advance(250, mac);
    expect(client.refusedWith).toBe("deadline_exceeded");
    // Two more tries of a client's SDK would be twenty more minutes.
    expect(client.refusal).toMatchObject({ isFinal: true });
    expect(mac.socket.take("cancel")).toHaveLength(1);
    expect(scene.outcomes()).toEqual({ deadline_exceeded: 1 });
  });

  it("with an event if it streams", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    const client = scene.ask();
    const sent = scene.requestOf(mac);
    scene.accept(sent);
    for (let i = 0; i < 20; i++) {
      scene.bytes(sent, "x");
      scene.advance(30_000, mac);
    }
    expect(client.brokenWith).toBe("deadline_exceeded");
    expect(mac.socket.take("cancel")).toHaveLength(1);
  });

  it("also in line, which it never leaves later than that", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1", { max_concurrency: 1 });
    scene.ask({ stream: false });
    const client = scene.ask({ stream: false, deadlineMs: 2000 });
    scene.advance(2000, mac);
    expect(client.refusedWith).toBe("deadline_exceeded");
  });
});

describe("a cancelled attempt", () => {
  it("holds its slot for 5 s when the machine does not answer, no longer", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1", { max_concurrency: 1 });
    const client = scene.ask();
    scene.requestOf(mac);
    scene.pool.abandon(client.request, scene.now);
    scene.ask();
    scene.advance(4750, mac);
    expect(scene.requestsOf(mac)).toEqual([]);
    scene.advance(250, mac);
    expect(scene.requestsOf(mac)).toHaveLength(1);
    expect(mac.socket.take("cancel")).toHaveLength(1);
  });
});
