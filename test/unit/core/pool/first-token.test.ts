import { describe, expect, it } from "vitest";

import { PoolScene, type Client, type Machine } from "./pool-scene.ts";

/** The limit of the flag, 5 s, and 1 ms per token of the prompt on top. */
function limitTps(tokens: number): number {
  return tokens / (5 + tokens / 1000);
}

function join(scene: PoolScene, machineId: string, prefillTps: number | null, fields: object = {}): Machine {
  const speed = prefillTps === null ? {} : { prefill_tps: prefillTps };
  return scene.join(machineId, { models: [{ id: "m", size_bytes: 1, ...speed }], ...fields });
}

const promptOf = (tokens: number): { body: string } => ({ body: `{"x":"${"x".repeat(4 * tokens - 8)}"}` });

function outcome({ ended, refusedWith }: Client): string | null {
  return ended === null ? "admitted" : refusedWith;
}

describe("[C6] a request whose first token would come too late", () => {
  it.each([
    [2000, limitTps(2000) * 1.01, "admitted"],
    [2000, limitTps(2000) * 0.99, "ttft_too_slow"],
    [20_000, 900, "admitted"],
    [20_000, 700, "ttft_too_slow"],
  ])("of %i tokens on a machine that reads %f a second is %s", (tokens, tps, expected) => {
    const scene = new PoolScene();
    join(scene, "mac-1", tps);
    expect(outcome(scene.ask(promptOf(tokens)))).toBe(expected);
  });

  it("is refused before anything else, counted, and told when to come back", () => {
    const scene = new PoolScene();
    const mac = join(scene, "mac-1", 10);
    const { refusal } = scene.ask(promptOf(2000));
    expect(refusal).toMatchObject({ code: "ttft_too_slow", holdsForMs: 0 });
    expect(refusal?.retryAfterS).toBeGreaterThanOrEqual(1);
    expect(scene.requestsOf(mac)).toEqual([]);
    expect(scene.outcomes()).toEqual({ ttft_too_slow: 1 });
    expect(scene.pool.ledger.demand.drain()).toMatchObject([{ arrivals: 1, promptTokens: 2000 }]);
  });

  it("waits for one machine that could, though others could not, and though it is busy", () => {
    const scene = new PoolScene();
    join(scene, "mac-1", 10);
    const fast = join(scene, "mac-2", 10_000, { max_concurrency: 1 });
    scene.ask(promptOf(2000));
    const sent = scene.requestOf(fast);
    scene.accept(sent);
    scene.bytes(sent, "x");
    expect(outcome(scene.ask(promptOf(2000)))).toBe("admitted");
  });

  it("has to read after the prompts that its machine has been sent before", () => {
    const scene = new PoolScene();
    const mac = join(scene, "mac-1", 500, { max_concurrency: 4 });
    expect(outcome(scene.ask(promptOf(2000)))).toBe("admitted");
    expect(outcome(scene.ask(promptOf(2000)))).toBe("ttft_too_slow");
    const sent = scene.requestOf(mac);
    scene.accept(sent);
    scene.bytes(sent, "x");
    expect(outcome(scene.ask(promptOf(2000)))).toBe("admitted");
  });
});

describe("[C6] no request is refused for its first token", () => {
  it("on a guess: one machine without a measurement is enough", () => {
    const scene = new PoolScene();
    join(scene, "mac-1", 1);
    join(scene, "mac-2", null);
    expect(outcome(scene.ask(promptOf(20_000)))).toBe("admitted");
  });

  it("if a machine would have to load the model, since nobody knows how long that takes", () => {
    const scene = new PoolScene();
    join(scene, "mac-1", 1, { loaded_models: [] });
    expect(outcome(scene.ask(promptOf(20_000)))).toBe("admitted");
  });

  it("if it is its owner's", () => {
    const scene = new PoolScene();
    join(scene, "mac-1", 1);
    const owner = { machines: new Set(["mac-1"]), otherwise: "public", isSwitching: false } as const;
    expect(outcome(scene.ask({ ...promptOf(20_000), owner }))).toBe("admitted");
  });

  it("if it is longer than the model reads at all: the engine has a better answer", () => {
    const scene = new PoolScene();
    join(scene, "mac-1", 1);
    expect(outcome(scene.ask({ ...promptOf(20_000), contextLength: 8192 }))).toBe("admitted");
  });

  it("if no machine is routable: then it is the pool that is exhausted", () => {
    const scene = new PoolScene();
    scene.flags({});
    scene.heartbeat(join(scene, "mac-1", 1), { accepting: false });
    expect(outcome(scene.ask(promptOf(20_000)))).toBe("pool_exhausted");
  });
});

describe("how fast a machine reads", () => {
  it("is learned from the prompts it has read, what it had cached left out, and not from short ones", () => {
    const scene = new PoolScene();
    const mac = join(scene, "mac-1", null);
    const read = (tokens: number, cached: number, ms: number): number | null => {
      scene.ask();
      scene.serve(scene.requestOf(mac), "x", { tokens, cached, ms });
      return mac.connection.prefillTps;
    };
    expect(read(255, 0, 1000)).toBeNull();
    expect(read(1255, 1000, 1000)).toBeNull();
    expect(read(1500, 500, 1000)).toBe(1000);
    expect(read(500, 0, 1000)).toBe(900);
    expect(read(500, 0, 0)).toBe(900);
  });

  it("is not what it reads while others are read: of four at once each takes four times as long", () => {
    const scene = new PoolScene();
    const mac = join(scene, "mac-1", null, { max_concurrency: 4 });
    for (let i = 0; i < 4; i++) scene.ask(promptOf(4000));
    const all = scene.requestsOf(mac);
    for (const sent of all) {
      scene.accept(sent);
      scene.bytes(sent, "x");
    }
    for (const sent of all) scene.finish(sent, { tokens: 4000, cached: 0, ms: 23_000 });
    expect(outcome(scene.ask(promptOf(4000)))).toBe("admitted");
  });

  it("is measured anew by one request if the last word on it is a minute old and the machine idle", () => {
    const scene = new PoolScene();
    const mac = join(scene, "mac-1", 100);
    scene.advance(60_000, mac);
    expect(outcome(scene.ask(promptOf(2000)))).toBe("ttft_too_slow");
    scene.advance(250, mac);
    expect(outcome(scene.ask(promptOf(2000)))).toBe("admitted");
    expect(outcome(scene.ask(promptOf(2000)))).toBe("ttft_too_slow");
    scene.serve(scene.requestOf(mac), "x", { tokens: 2000, cached: 0, ms: 20_000 });
    expect(outcome(scene.ask(promptOf(2000)))).toBe("ttft_too_slow");
    scene.advance(60_250, mac);
    scene.ask(promptOf(2000));
    scene.serve(scene.requestOf(mac), "x", { tokens: 2000, cached: 0, ms: 2000 });
    expect(mac.connection.prefillTps).toBe(1000);
    expect(outcome(scene.ask(promptOf(2000)))).toBe("admitted");
  });

  it("is what was measured here, whatever the machine says of itself", () => {
    const scene = new PoolScene();
    const mac = join(scene, "mac-1", 10_000);
    scene.ask();
    scene.serve(scene.requestOf(mac), "x", { tokens: 1000, cached: 0, ms: 10_000 });
    expect(outcome(scene.ask(promptOf(2000)))).toBe("ttft_too_slow");
  });
});
