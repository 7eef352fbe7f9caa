import fc from "fast-check";
import { describe, expect, it } from "vitest";

import type { Beginning, Registration } from "../../../../core/pool/connection.ts";
import { gate } from "../../../../core/pool/gate.ts";
import { expectedWaitMs, pick, type Wanted } from "../../../../core/pool/schedule.ts";
import { prefixOf } from "../../../../core/prefix.ts";
import { aConnection } from "./a-connection.ts";
import { MODEL } from "./pool-scene.ts";

const NOBODY: ReadonlySet<string> = new Set();

function read(prefix: readonly number[], cacheKeys: readonly number[] = [], keyId = "key"): Beginning {
  return { prefix, cacheKeys, keyId };
}

function aRequest(promptTokensEstimate: number, prefix: readonly number[] = [], tried = NOBODY): Wanted {
  return { spec: { model: MODEL, slotsPerMachine: 4, ...read(prefix) }, promptTokensEstimate, tried };
}

function pickOf(machines: readonly Partial<Registration>[], promptTokens = 100): number {
  const connections = machines.map((fields, index) => aConnection(fields, `mac-${index}`));
  const picked = pick(connections, aRequest(promptTokens), 1);
  return picked === null ? -1 : connections.indexOf(picked);
}

describe("the pick", () => {
  it.each([
    ["the idle one", [{ running: 2 }, { running: 0 }], 100, 1],
    ["the one that prefills faster", [{ prefillTps: 100 }, { prefillTps: 900 }], 100, 1],
    ["the one that has the model loaded", [{ loadedModels: [] }, { running: 3 }], 100, 1],
    [
      "the busy fast one before the idle slow one, for a long prompt",
      [{ prefillTps: 50 }, { prefillTps: 5000, running: 2 }],
      10_000,
      1,
    ],
    ["nobody when all are full", [{ running: 4 }, { running: 4 }], 100, -1],
    ["nobody when there is nobody", [], 100, -1],
  ])("is %s", (_, machines, promptTokens, index) => {
    expect(pickOf(machines, promptTokens)).toBe(index);
  });

  it("of equals is the one used least recently", () => {
    const connections = ["mac-1", "mac-2", "mac-3"].map((id) => aConnection({}, id));
    connections.forEach((connection, index) => (connection.lastPickedAt = [30, 10, 20][index] ?? 0));
    expect(pick(connections, aRequest(1), 100)).toBe(connections[1]);
  });

  it("is never one that has failed the request already", () => {
    const connections = [aConnection({}, "mac-1"), aConnection({ running: 3 }, "mac-2")];
    expect(pick(connections, aRequest(1, [], new Set(["mac-1"])), 1)).toBe(connections[1]);
    expect(pick(connections, aRequest(1, [], new Set(["mac-1", "mac-2"])), 1)).toBeNull();
  });

  it("[F9] is always one the gate lets through, and there is one whenever the gate lets one through", () => {
    const registration = fc.record<Partial<Registration>>({
      accepting: fc.boolean(),
      advertises: fc.boolean(),
      privateOnly: fc.boolean(),
      running: fc.nat(5),
      maxConcurrency: fc.integer({ min: 1, max: 5 }),
      loadedModels: fc.constantFrom([MODEL], []),
      thermalState: fc.constantFrom("nominal", "critical"),
      decodeTps: fc.option(fc.double({ min: 0.1, max: 1e9, noNaN: true })),
      prefillTps: fc.option(fc.double({ min: 0.1, max: 1e9, noNaN: true })),
    });
    fc.assert(
      fc.property(fc.array(registration, { maxLength: 5 }), fc.nat(1_000_000), (machines, tokens) => {
        const connections = machines.map((fields, index) => aConnection(fields, `mac-${index}`));
        const open = connections.filter((connection) => gate(connection, MODEL, 4, 1) === null);
        const picked = pick(connections, aRequest(tokens), 1);
        const waits = open.map((connection) => expectedWaitMs(connection, aRequest(tokens)));
        const wait = picked === null ? Infinity : expectedWaitMs(picked, aRequest(tokens));
        expect(picked === null || open.includes(picked)).toBe(true);
        expect(wait).toBe(Math.min(...waits));
      }),
    );
  });
});

it.each([
  ["an idle machine prefills the prompt", { prefillTps: 1000, decodeTps: 50 }, 500],
  [
    "each running request slows the prefill and takes its turn",
    { prefillTps: 1000, decodeTps: 50, running: 2 },
    1540,
  ],
  ["a machine without measurements counts as 500 and 20 tokens a second", { running: 1 }, 2050],
  ["loading the model costs half a minute", { prefillTps: 1000, loadedModels: [] }, 30_500],
])("expected wait of 500 tokens: %s", (_, fields, waitMs) => {
  expect(expectedWaitMs(aConnection(fields), aRequest(500))).toBe(waitMs);
});

describe("a conversation", () => {
  /** The beginning of a prompt of `tokens` tokens, as the edge tells it. */
  const beginningOf = (name: string, tokens: number): readonly number[] =>
    prefixOf({ messages: [{ role: "user", content: `${name} `.repeat(tokens) }] }).blocks;

  function machines(...running: readonly number[]) {
    return running.map((count, index) => aConnection({ running: count, maxConcurrency: 8 }, `mac-${index}`));
  }

  const history = beginningOf("abc", 8000);
  const wanted = { ...aRequest(8000, history), spec: { ...aRequest(1, history).spec, slotsPerMachine: 8 } };

  it("goes back to the machine that has read its beginning, if that is as busy as the others or nearly so", () => {
    const [first, second, third] = machines(1, 1, 1);
    second?.hasRead(read(beginningOf("abc", 2000)), 8000, 2000);
    if (first === undefined || second === undefined || third === undefined) throw new Error("three machines");
    second.lastPickedAt = 100;
    expect(pick([first, second, third], wanted, 1)).toBe(second);
    third.hasRead(read(beginningOf("abc", 7000)), 8000, 7000);
    expect(pick([first, second, third], wanted, 1)).toBe(third);
    const [busier, idler] = machines(2, 1);
    if (busier === undefined || idler === undefined) throw new Error("two machines");
    busier.hasRead(read(history), 8000, null);
    expect(pick([busier, idler], wanted, 1)).toBe(busier);
    const other = { ...wanted, spec: { ...wanted.spec, prefix: beginningOf("xyz", 8000) } };
    expect(pick([first, second, third], other, 1)).toBe(first);
  });

  it("never goes to a machine that runs two requests more, or is much slower, for it", () => {
    fc.assert(
      fc.property(
        fc.nat(3),
        fc.integer({ min: 2, max: 4 }),
        fc.integer({ min: 1, max: 100_000 }),
        (running, more, tokens) => {
          const [held, idle] = machines(running + more, running);
          if (held === undefined || idle === undefined) throw new Error("two machines");
          held.hasRead(read(history), 8000, null);
          const request = { ...wanted, promptTokensEstimate: tokens };
          expect(pick([held, idle], request, 1)).toBe(idle);
        },
      ),
    );
    const slow = aConnection({ prefillTps: 100 }, "mac-slow");
    slow.hasRead(read(history), 8000, null);
    const fast = aConnection({ prefillTps: 1000 }, "mac-fast");
    expect(pick([slow, fast], wanted, 1)).toBe(fast);
  });

  it("counts for less on a machine that turns out not to have it", () => {
    const [forgetful, other] = machines(0, 0);
    if (forgetful === undefined || other === undefined) throw new Error("two machines");
    const cost = (): number => expectedWaitMs(forgetful, wanted);
    forgetful.hasRead(read(history), 8000, null);
    const before = cost();
    for (let i = 0; i < 10; i++) forgetful.hasRead(read(history), 8000, 0);
    expect(cost()).toBeGreaterThan(before);
    expect(cost()).toBeGreaterThan(0.85 * expectedWaitMs(other, wanted));
    for (let i = 0; i < 20; i++) forgetful.hasRead(read(history), 8000, 8000);
    expect(cost()).toBeCloseTo(before, -2);
  });

  describe("with a cache key", () => {
    const TOKENS = 12_000;
    /** All agents begin with the same instructions and tools, and what follows is too short to end another block. */
    const shared = beginningOf("tool", 9000);
    const under = (cacheKey: number | null, prefix = shared, keyId = "key"): Wanted => ({
      ...wanted,
      promptTokensEstimate: TOKENS,
      spec: { ...wanted.spec, ...read(prefix, cacheKey === null ? [] : [cacheKey], keyId) },
    });

    function bothHaveRead(prefix = shared) {
      const [first, second] = machines(0, 0);
      if (first === undefined || second === undefined) throw new Error("two machines");
      first.hasRead(read(prefix, [1]), TOKENS, null);
      second.hasRead(read(prefix, [2]), TOKENS, null);
      return { first, second, among: [first, second] };
    }

    it("goes back to its own of the machines that have read the same beginning", () => {
      const { first, second, among } = bothHaveRead();
      expect([1, 2, 2, 1].map((key) => pick(among, under(key), 1))).toEqual([first, second, second, first]);
      // Without a key, and under one that nobody knows, it goes where a request has not been for longest.
      first.lastPickedAt = 100;
      expect(pick(among, under(1), 1)).toBe(first);
      expect([null, 3].map((key) => pick(among, under(key), 1))).toEqual([second, second]);
    });

    it("goes back also if its prompts begin differently, as long as the machine saves something by it", () => {
      const { first, second, among } = bothHaveRead(beginningOf("Monday", 9000));
      const tuesday = beginningOf("Tuesday", 9000);
      first.lastPickedAt = 100;
      expect(pick(among, under(null, tuesday), 1)).toBe(second);
      expect(pick(among, under(1, tuesday), 1)).toBe(first);
      for (let i = 0; i < 10; i++) first.hasRead(read(tuesday, [1]), TOKENS, 0);
      const elsewhere = expectedWaitMs(machines(0)[0] ?? second, under(1, []));
      expect(expectedWaitMs(first, under(1, []))).toBeGreaterThan(0.99 * elsewhere);
    });

    it("goes back to that of its conversation if a whole application has one key", () => {
      const APPLICATION = 9;
      const [first, second] = machines(0, 0);
      if (first === undefined || second === undefined) throw new Error("two machines");
      first.hasRead(read(shared, [1, APPLICATION]), TOKENS, null);
      second.hasRead(read(shared, [2, APPLICATION]), TOKENS, null);
      const inTurn = (key: number): Wanted => ({
        ...under(key),
        spec: { ...wanted.spec, ...read(shared, [key, APPLICATION]) },
      });
      const picked = [1, 2, 2, 1].map((key) => pick([first, second], inTurn(key), 1));
      expect(picked).toEqual([first, second, second, first]);
    });

    it("goes to a machine that runs fewer requests rather than waits for two others", () => {
      const [held, idle] = machines(2, 0);
      if (held === undefined || idle === undefined) throw new Error("two machines");
      held.hasRead(read(shared, [1]), TOKENS, TOKENS);
      expect(pick([held, idle], under(1), 1)).toBe(idle);
    });

    it("tells nothing of another API key's requests, whose hash may be the same", () => {
      const { first, second, among } = bothHaveRead();
      first.lastPickedAt = 100;
      expect(pick(among, under(1, shared, "key"), 1)).toBe(first);
      expect(pick(among, under(1, shared, "other"), 1)).toBe(second);
    });
  });
});
