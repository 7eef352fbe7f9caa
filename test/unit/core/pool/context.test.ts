import { describe, expect, it } from "vitest";

import { AUDITED, WRONGLY_REFUSED } from "../../../../core/pool/refusal-audit.ts";
import { INITIAL_SETTINGS } from "../../../../core/pool/settings.ts";
import { EMBEDDINGS_ENDPOINT } from "../../../../protocol/endpoints.ts";
import type { ModelId } from "../../../../protocol/ids.ts";
import { MODEL, PoolScene, type Ask, type Machine } from "./pool-scene.ts";

const SMALL = 4096;
const LARGE = 32_768;

/** A request that counts for some tokens more. */
function textOf(tokens: number): string {
  return bodyOf("a".repeat(4 * tokens));
}

function bodyOf(text: string): string {
  return `{"text":"${text}"}`;
}

function modelsWith(contextLength: number | null): object[] {
  const context = contextLength === null ? {} : { context_length: contextLength };
  return [{ id: MODEL, size_bytes: 1, ...context }];
}

/** A machine with one slot. */
function joinWith(scene: PoolScene, machineId: string, contextLength: number | null): Machine {
  return scene.join(machineId, { models: modelsWith(contextLength), max_concurrency: 1 });
}

/** Of two machines with one slot each, the small one came first: of equals it is picked. */
function twoMachines(largest: number | null = LARGE) {
  const scene = new PoolScene();
  const small = joinWith(scene, "small", SMALL);
  const large = joinWith(scene, "large", largest);
  const nameOf = ({ connection }: Machine): string => connection.identity.machineId;
  /** Where a request went; null if it waits. */
  const ask = (tokens: number, fields: Ask = {}): string | null => {
    scene.ask({ body: textOf(tokens), answerTokens: 100, ...fields });
    const sent = [small, large].filter((machine) => scene.requestsOf(machine).length > 0);
    return sent.map(nameOf).join() || null;
  };
  return { scene, small, large, ask };
}

/** Whether it goes to a machine that takes so much, though another takes everything. */
function fitsOn(contextLength: number, body: string): boolean {
  const scene = new PoolScene();
  const machine = joinWith(scene, "mac-1", contextLength);
  joinWith(scene, "mac-2", null);
  scene.ask({ body, answerTokens: 0 });
  return scene.requestsOf(machine).length > 0;
}

describe("a request and the context of machines", () => {
  it("goes to whichever is free while it surely fits", () => {
    const { ask } = twoMachines();
    expect([ask(1000), ask(1000)]).toEqual(["small", "large"]);
  });

  it.each([
    ["one that says more", LARGE],
    ["one that does not say", null],
  ])("goes to %s when it might not fit on the small one", (_, largest) => {
    const { ask } = twoMachines(largest);
    expect(ask(3000)).toBe("large");
  });

  it("goes to the small one all the same while no other is free and it may well fit", () => {
    const { ask } = twoMachines();
    expect([ask(3000), ask(3000)]).toEqual(["large", "small"]);
  });

  it("leaves room for the answer that is asked for, within reason", () => {
    expect(twoMachines().ask(2500, { answerTokens: 10 })).toBe("small");
    expect(twoMachines().ask(2500, { answerTokens: 1000 })).toBe("large");
    expect(twoMachines().ask(2000, { answerTokens: 64_000 })).toBe("small");
  });

  it("waits for the large one when it probably does not fit, and tries the small one before it gives up", () => {
    const { scene, small, large, ask } = twoMachines();
    ask(3000);
    expect(ask(5000)).toBe(null);
    scene.advance(5750, small, large);
    expect(scene.requestsOf(small)).toEqual([]);
    scene.advance(250, small, large);
    expect(scene.requestsOf(small)).toHaveLength(1);
  });

  it("gets the large one as soon as that is free", () => {
    const { scene, large } = twoMachines();
    scene.ask({ body: textOf(3000) });
    const first = scene.requestOf(large);
    scene.ask({ body: textOf(5000), requestId: "req_long" });
    scene.serve(first, "x");
    expect(scene.requestOf(large).request).toMatchObject({ request_id: "req_long" });
  });

  it("never goes to the small one where it certainly does not fit: busy is no reason for a 400", () => {
    const { scene, small, large, ask } = twoMachines();
    ask(3000);
    const client = scene.ask({ body: textOf(9000) });
    scene.advance(6000, small, large);
    const message =
      'all machines that serve "m" and may take a prompt of about 9003 tokens stayed busy for 6 s';
    expect(client.ended).toMatchObject({ refused: { code: "queue_timeout", message } });
    expect(scene.requestsOf(small)).toEqual([]);
  });

  it("costs no look at the machines for each that waits, however long the line and whatever one machine says", () => {
    const scene = new PoolScene();
    scene.flags({ queue_max: 100 });
    const machines = [1, LARGE, LARGE].map((context, index) => joinWith(scene, `mac-${index}`, context));
    for (const machine of machines) scene.heartbeat(machine, { running: 1, max_concurrency: 1 });
    for (let more = 100; more > 0; more--) scene.ask({ body: textOf(1000 + more) });
    const [, talker, watched] = machines;
    if (talker === undefined || watched === undefined) return;
    const { registration } = watched.connection;
    let looks = 0;
    Object.defineProperty(watched.connection, "registration", { get: () => ((looks += 1), registration) });
    scene.heartbeat(talker, { running: 1, max_concurrency: 1 });
    expect(scene.pool.report(scene.now, 4).queued).toBe(100);
    expect(looks).toBeGreaterThan(0);
    expect(looks).toBeLessThan(50);
  });

  it("goes to the small one if the line is full and it may fit", () => {
    const { scene, small, ask } = twoMachines();
    scene.flags({ queue_max: 1 });
    ask(3000);
    expect(ask(5000)).toBe(null);
    const client = scene.ask({ body: textOf(5000) });
    expect(client.ended).toBe(null);
    expect(scene.requestsOf(small)).toHaveLength(1);
  });

  it("is sent on at once, to be refused by the engine that takes most, where no machine has room for it", () => {
    const { scene, ask } = twoMachines();
    expect([ask(90_000), ask(90_000)]).toEqual(["large", "small"]);
    expect(scene.pool.report(scene.now, 4)).toMatchObject({ queued: 0 });
  });

  it("goes to the small one at once when the large one takes no requests", () => {
    const { scene, large, ask } = twoMachines();
    scene.heartbeat(large, { max_concurrency: 1, accepting: false });
    expect(ask(9000)).toBe("small");
  });

  it("goes to the small one when the large one has gone while it waited", () => {
    const { scene, small, large, ask } = twoMachines();
    ask(3000);
    expect(ask(9000)).toBe(null);
    scene.heartbeat(large, { max_concurrency: 1, accepting: false, running: 1 });
    expect(scene.requestsOf(small)).toHaveLength(1);
  });

  it("does not hold up shorter ones behind it", () => {
    const { scene, small, ask } = twoMachines();
    ask(3000);
    const [running] = [scene.ask({ body: textOf(10) })];
    const sent = scene.requestOf(small);
    scene.ask({ body: textOf(9000) });
    scene.ask({ body: textOf(10), requestId: "req_short" });
    scene.serve(sent, "x");
    expect(running.ended).toBe("finished");
    expect(scene.requestOf(small).request).toMatchObject({ request_id: "req_short" });
  });

  it("has the edge refuse nobody else when the line is full of long ones", () => {
    const { scene, large, ask } = twoMachines();
    scene.ask({ body: textOf(3000) });
    scene.serve(scene.requestOf(large), "x");
    scene.flags({ queue_max: 1 });
    ask(3000);
    ask(9000);
    expect(scene.ask({ body: textOf(9000) }).ended).toMatchObject({
      refused: { code: "queue_full", holdsForMs: 0 },
    });
  });

  it("counts letters beyond ASCII for more, and as much where they are written as escapes", () => {
    const letters = "漢".repeat(6000);
    expect(twoMachines().ask(0, { body: bodyOf(letters) })).toBe("large");
    const escapes = "\\u6f22".repeat(1500);
    expect(twoMachines().ask(0, { body: bodyOf(escapes) })).toBe("small");
    expect(twoMachines().ask(0, { body: bodyOf(escapes.repeat(4)) })).toBe("large");
  });

  it("of megabytes is guessed at by pieces from all of it", () => {
    const ofBoth = bodyOf("a".repeat(30_000) + "漢".repeat(30_000));
    // Some 22,500 tokens, and half as much again to be sure.
    expect(fitsOn(34_000, ofBoth)).toBe(true);
    expect(fitsOn(33_000, ofBoth)).toBe(false);
    expect(fitsOn(24_000, bodyOf("a".repeat(60_000)))).toBe(true);
    expect(fitsOn(46_000, bodyOf("漢".repeat(60_000)))).toBe(true);
  });

  it("tells nothing of its tokens by the length of a picture", () => {
    const { ask } = twoMachines();
    expect(ask(0, { body: bodyOf(`data:image/png;base64,${textOf(9000).replaceAll('"', "")}`) })).toBe(
      "small",
    );
  });

  it("of embeddings is one text after the other, so that all together need no room", () => {
    const { ask } = twoMachines();
    expect(ask(9000, { endpoint: EMBEDDINGS_ENDPOINT })).toBe("small");
  });

  it("is not said to be too slow because of a machine that it does not fit on", () => {
    const scene = new PoolScene();
    const models = (contextLength: number, tps: number) => [
      { id: MODEL, size_bytes: 1, context_length: contextLength, prefill_tps: tps },
    ];
    // A fast small one would have it in time, and cannot take it.
    const small = scene.join("small", { models: models(SMALL, 10_000) });
    const large = scene.join("large", { models: models(LARGE, 100) });
    scene.now += 1;
    const client = scene.ask({ body: textOf(9000) });
    expect(client.refusedWith).toBe("ttft_too_slow");
    expect([...scene.requestsOf(small), ...scene.requestsOf(large)]).toEqual([]);
  });
});

describe("an owner's request", () => {
  const owner = (otherwise: "wait" | "public", ...machines: string[]) => ({
    otherwise,
    isSwitching: false,
    machines: new Set(machines),
  });

  it("goes to the one of the owner's machines that it fits on", () => {
    const { ask } = twoMachines();
    expect(ask(9000, { owner: owner("wait", "small", "large") })).toBe("large");
  });

  it("goes to the owner's small machine if it must be one of them", () => {
    const { ask } = twoMachines();
    expect(ask(9000, { owner: owner("wait", "small") })).toBe("small");
  });

  it("goes to a machine of others if it may, and fits on none of the owner's", () => {
    const { ask } = twoMachines();
    expect(ask(9000, { owner: owner("public", "small") })).toBe("large");
    expect(twoMachines().ask(1000, { owner: owner("public", "small") })).toBe("small");
  });
});

describe("what a machine says of its context", () => {
  function contextAfter(heartbeat: object): number | null | undefined {
    const scene = new PoolScene();
    const machine = joinWith(scene, "mac-1", SMALL);
    scene.heartbeat(machine, heartbeat);
    return machine.connection.registration?.contextLength;
  }

  it("is put right by a heartbeat, once the model is loaded", () => {
    expect(contextAfter({ context_length: LARGE })).toBe(LARGE);
  });

  it("stays as it was where a heartbeat does not say, or speaks of another model", () => {
    expect(contextAfter({})).toBe(SMALL);
    expect(contextAfter({ loaded_models: ["other" as ModelId], context_length: LARGE })).toBe(SMALL);
    expect(contextAfter({ loaded_models: [MODEL, "other"], context_length: LARGE })).toBe(SMALL);
  });

  it.each([{}, { contextLength: 8192 }])(
    "survives the pool's sleep, after which no small machine is taken for want of a look at others: %j",
    (fields) => {
      const scene = new PoolScene();
      const machines = [joinWith(scene, "small", SMALL), joinWith(scene, "large", LARGE)];
      const short = scene.sleepOn(...machines);
      short.scene.ask({ body: textOf(100) });
      expect(short.woken.map((machine) => short.scene.requestsOf(machine).length)).toEqual([1]);
      const long = scene.sleepOn(...machines);
      long.scene.ask({ body: textOf(9000), ...fields });
      expect(long.woken.map((machine) => long.scene.requestsOf(machine).length)).toEqual([0, 1]);
    },
  );

  it("is not refused wrongly when only a machine that is too small for it was free", () => {
    const { scene, small, large, ask } = twoMachines();
    ask(3000);
    expect(ask(20_000)).toBe(null);
    scene.advance(INITIAL_SETTINGS.flags.queue_wait_ms, small, large);
    expect(scene.outcomes()).toMatchObject({ queue_timeout: 1 });
    const { totals } = scene.pool.ledger;
    expect(totals.get(AUDITED)).toBe(1);
    expect(totals.get(`${WRONGLY_REFUSED}queue_timeout`)).toBe(0);
  });
});
