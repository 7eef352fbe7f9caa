import fc from "fast-check";
import { describe, expect, it } from "vitest";

import type { Registration } from "../../../../core/pool/connection.ts";
import { gate } from "../../../../core/pool/gate.ts";
import { expectedWaitMs, pick } from "../../../../core/pool/schedule.ts";
import { aConnection } from "./a-connection.ts";
import { MODEL } from "./pool-scene.ts";

const NOBODY: ReadonlySet<string> = new Set();

function pickOf(machines: readonly Partial<Registration>[], promptTokens = 100): number {
  const connections = machines.map((fields, index) => aConnection(fields, `mac-${index}`));
  const picked = pick(connections, MODEL, 4, promptTokens, NOBODY, 1);
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
    expect(pick(connections, MODEL, 4, 1, NOBODY, 100)).toBe(connections[1]);
  });

  it("is never one that has failed the request already", () => {
    const connections = [aConnection({}, "mac-1"), aConnection({ running: 3 }, "mac-2")];
    expect(pick(connections, MODEL, 4, 1, new Set(["mac-1"]), 1)).toBe(connections[1]);
    expect(pick(connections, MODEL, 4, 1, new Set(["mac-1", "mac-2"]), 1)).toBeNull();
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
        const picked = pick(connections, MODEL, 4, tokens, NOBODY, 1);
        const waits = open.map((connection) => expectedWaitMs(connection, MODEL, tokens));
        const wait = picked === null ? Infinity : expectedWaitMs(picked, MODEL, tokens);
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
  expect(expectedWaitMs(aConnection(fields), MODEL, 500)).toBe(waitMs);
});
