import { describe, expect, it } from "vitest";

import type { Breaker } from "../../../../core/pool/breakers.ts";
import type { Connection } from "../../../../core/pool/connection.ts";
import { freeSlots, gate, routableGate } from "../../../../core/pool/gate.ts";
import { modelIdSchema } from "../../../../protocol/ids.ts";
import { aConnection } from "./a-connection.ts";
import { FakeSocket } from "./fake-socket.ts";
import { MODEL } from "./pool-scene.ts";

const NOW = 60_000;

function aBreaker(openUntil: number): Breaker {
  return { faults: 3, openUntil, openedAt: openUntil - 10_000, backOffMs: 10_000 };
}

function with_(connection: Connection, change: (connection: Connection) => void): Connection {
  change(connection);
  return connection;
}

describe("[F9] a machine is not routable, busy or not, when it", () => {
  it.each([
    ["has not been admitted", aConnection(null), "not_registered"],
    ["is closed", with_(aConnection(), (machine) => (machine.closed = true)), "not_registered"],
    [
      "has a provider that has become too old",
      with_(aConnection(), (machine) => (machine.retiresAt = NOW + 1)),
      "outdated",
    ],
    ["does not offer the model", aConnection({ advertises: false }), "model_not_on_machine"],
    ["is stopping", aConnection({ accepting: false }), "not_accepting"],
    ["serves only its owner", aConnection({ privateOnly: true }), "owner_private"],
    ["is kept by its owner for the moment", aConnection({ reserved: true }), "reserved"],
    ["is critically hot", aConnection({ thermalState: "critical" }), "too_hot"],
    [
      "has failed too often",
      with_(aConnection(), (machine) => (machine.breaker = aBreaker(NOW + 1))),
      "breaker_open",
    ],
  ])("%s", (_, connection, reason) => {
    expect(routableGate(connection, MODEL, NOW)).toBe(reason);
    expect(gate(connection, MODEL, 4, NOW)).toBe(reason);
  });

  it("has been silent for more than 60 s", () => {
    const connection = aConnection();
    expect(routableGate(connection, MODEL, NOW)).toBeNull();
    expect(routableGate(connection, MODEL, NOW + 1)).toBe("silent");
    if (connection.socket instanceof FakeSocket) connection.socket.pongAt = 1;
    expect(routableGate(connection, MODEL, NOW + 1)).toBeNull();
    connection.lastMessageAt = 2;
    expect(routableGate(connection, MODEL, NOW + 2)).toBeNull();
    expect(routableGate(connection, MODEL, NOW + 3)).toBe("silent");
  });
});

describe("a routable machine has no room when it", () => {
  it.each([
    [
      "refused just now",
      with_(aConnection(), (machine) => (machine.refusedUntil = NOW + 1)),
      "refused_just_now",
    ],
    ["runs as much as it may", aConnection({ running: 4 }), "no_free_slot"],
    [
      "is tried again after its faults by one request already",
      with_(aConnection({ running: 1 }), (machine) => (machine.breaker = aBreaker(NOW))),
      "no_free_slot",
    ],
    ["runs more than the catalog allows", aConnection({ maxConcurrency: 9, running: 5 }), "no_free_slot"],
    [
      "runs another model",
      aConnection({ running: 1, loadedModels: [modelIdSchema.parse("other")] }),
      "busy_with_other_model",
    ],
    [
      "runs something with nothing loaded",
      aConnection({ running: 1, loadedModels: [] }),
      "busy_with_other_model",
    ],
  ])("%s", (_, connection, reason) => {
    expect(routableGate(connection, MODEL, NOW)).toBeNull();
    expect(gate(connection, MODEL, 4, NOW)).toBe(reason);
  });
});

describe("a machine may be sent a request when it", () => {
  it.each([
    ["is idle", aConnection()],
    ["is hot but not critically", aConnection({ thermalState: "serious" })],
    ["has one slot left", aConnection({ running: 3 })],
    ["is idle and would have to load the model", aConnection({ loadedModels: [] })],
    ["refused half a second ago", with_(aConnection(), (machine) => (machine.refusedUntil = NOW))],
  ])("%s", (_, connection) => {
    expect(gate(connection, MODEL, 4, NOW)).toBeNull();
  });
});

it("a machine that is not admitted has no slots", () => {
  expect(freeSlots(aConnection(null), 4)).toBe(0);
});
