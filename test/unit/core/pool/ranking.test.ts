import fc from "fast-check";
import { expect, it } from "vitest";

import type { Attempt } from "../../../../core/pool/attempt.ts";
import type { Connection, Registration } from "../../../../core/pool/connection.ts";
import { gate, type Asker } from "../../../../core/pool/gate.ts";
import { Members } from "../../../../core/pool/members.ts";
import { NO_SLEEPERS } from "../../../../core/pool/ports.ts";
import { expectedWaitMs, type Wanted } from "../../../../core/pool/schedule.ts";
import { WholeEvents } from "../../../../core/pool/whole-events.ts";
import { aConnection } from "./a-connection.ts";
import { MODEL } from "./pool-scene.ts";

const NOW = 10;
const MACHINES = 12;
const FIRST_OF_ALL = 7;

/** Few values, so that machines are often alike. */
const fields = fc.record<Partial<Registration>>({
  accepting: fc.constantFrom(true, true, true, false),
  running: fc.constantFrom(0, 0, 0, 1, 2, 4, 100),
  maxConcurrency: fc.constantFrom(1, 4, 8),
  loadedModels: fc.constantFrom([MODEL], [MODEL], []),
  decodeTps: fc.constantFrom(null, null, 5, 80),
  prefillTps: fc.constantFrom(null, null, 100, 900),
  contextLength: fc.constantFrom(null, 4096, 32_768),
});
/** Hashes of the beginnings of prompts; all have the first few in common with some others. */
const prefix = fc
  .tuple(fc.constantFrom(FIRST_OF_ALL, 1, 2, 2 + 2 ** 16), fc.array(fc.nat(3), { maxLength: 3 }))
  .map(([first, rest]) => [first, ...rest.map((hash, index) => 100 * (index + 1) + hash)]);

/** Two API keys, which may have the same cache keys; those may be the same number as a prefix or share its place. */
const keyed = {
  keyId: fc.constantFrom("key", "other"),
  cacheKeys: fc.constantFrom([], [1], [3], [3 + 2 ** 16], [4], [1, 4]),
};

const machine = fc.nat(MACHINES - 1).map((number) => `mac-${number}`);
const change = fc.oneof(
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("come" as const), machine, fields }) },
  fc.record({ kind: fc.constant("go" as const), machine }),
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("heartbeat" as const), machine, fields }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("send" as const), machine, at: fc.nat(5) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("end" as const), machine }) },
  fc.record({ kind: fc.constant("measure" as const), machine, tps: fc.constantFrom(100, 500, 900) }),
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("read" as const), machine, prefix, ...keyed }) },
  fc.record({ kind: fc.constant("forget" as const), machine }),
);
type Change = typeof change extends fc.Arbitrary<infer T> ? T : never;

const wanted = fc.record({
  spec: fc.record({
    model: fc.constant(MODEL),
    slotsPerMachine: fc.constantFrom(1, 4, 8),
    prefix: fc.oneof(fc.constant([]), prefix),
    ...keyed,
  }),
  promptTokensEstimate: fc.constantFrom(1, 100, 5000),
  leastContext: fc.constantFrom(0, 0, 5000, 40_000),
  tried: fc.array(machine, { maxLength: 2 }).map((machines) => new Set(machines)),
}) satisfies fc.Arbitrary<Wanted>;

it("picks of any fleet the machine that a look at all of them finds", () => {
  const steps = fc.array(fc.tuple(change, wanted, fc.constantFrom("public", "last_resort")), {
    minLength: 80,
    maxLength: 80,
  });
  fc.assert(
    fc.property(
      fc.array(fields, { minLength: MACHINES, maxLength: MACHINES }),
      steps,
      fc.nat(20),
      (fleet, all, first) => {
        const members = aPool();
        for (const [index, each] of fleet.entries()) members.add(aConnection(each, `mac-${index}`));
        for (const [index, [step, request, asker]] of all.entries()) {
          const before = [...members.seats.all()];
          apply(members, step, index);
          // Whoever has gone is not held any more.
          const present = new Set(members.seats.all());
          for (const gone of before) expect(present.has(gone) || gone.watcher === null).toBe(true);
          // Before the first request there is no order yet.
          if (index < first) continue;
          const picked = members.seats.pick(request, NOW, asker);
          expect(picked).toBe(bestOf(members.seats.all(), request, asker));
          expectSameContexts(members, request.leastContext);
        }
      },
    ),
    { numRuns: 300 },
  );
});

it("looks at a few of thousands of machines, whatever most of them are doing", () => {
  const members = aPool();
  const connections = Array.from({ length: 3000 }, (_, index) => aConnection({}, `mac-${index}`));
  for (const connection of connections) members.add(connection);
  const beginning = { prefix: [1, 2], keyId: "key", cacheKeys: [3] };
  const request = {
    spec: { model: MODEL, slotsPerMachine: 4, ...beginning },
    promptTokensEstimate: 1000,
    tried: new Set<string>(),
  };
  members.seats.pick(request, NOW, "public");
  for (const [index, connection] of connections.entries()) {
    // A third each are full, would have to load the model, and have nothing to do.
    if (index % 3 === 0)
      for (let stream = 0; stream < 4; stream++) connection.begin(anAttempt(connection, stream, 9));
    if (index % 3 === 1) connection.registration = aConnection({ loadedModels: [] }).registration;
  }
  for (const connection of connections) {
    connection.hasRead(beginning, 1000, null);
    connection.forgetRead();
  }
  connections[500]?.hasRead({ ...beginning, prefix: [] }, 1000, null);
  let looks = 0;
  for (const connection of connections) {
    const { registration } = connection;
    Object.defineProperty(connection, "registration", { get: () => ((looks += 1), registration) });
  }
  const picked = members.seats.pick(request, NOW, "public");
  expect(picked).toBe(connections[500]);
  expect(looks).toBeLessThan(50);
});

it("looks once at a machine that has read both the beginning of a prompt and one of its cache key", () => {
  const members = aPool();
  const connections = Array.from({ length: 100 }, (_, index) => aConnection({}, `mac-${index}`));
  for (const connection of connections) members.add(connection);
  const request = {
    spec: { model: MODEL, slotsPerMachine: 4, prefix: [1, 2], keyId: "key", cacheKeys: [] },
    promptTokensEstimate: 1000,
    tried: new Set<string>(),
  };
  members.seats.pick(request, NOW, "public");
  for (const connection of connections) connection.hasRead({ ...request.spec, cacheKeys: [3] }, 1000, null);
  let looks = 0;
  for (const connection of connections) {
    const { registration } = connection;
    Object.defineProperty(connection, "registration", { get: () => ((looks += 1), registration) });
  }
  members.seats.pick(request, NOW, "public");
  const byPrefix = looks;
  looks = 0;
  members.seats.pick({ ...request, spec: { ...request.spec, cacheKeys: [3] } }, NOW, "public");
  expect(byPrefix).toBeGreaterThan(0);
  expect(looks).toBe(byPrefix);
});

function expectSameContexts({ seats }: Members, tokens: number): void {
  const contextOf = ({ registration }: Connection): number => registration?.contextLength ?? Infinity;
  const contexts = [...seats.all()].map(contextOf);
  expect(seats.contexts).toEqual({
    smallest: Math.min(Infinity, ...contexts),
    largest: Math.max(0, ...contexts),
  });
  expect(seats.contextFor(tokens)).toBe(Math.min(...contexts.filter((context) => context >= tokens)));
  const withRoom = [...seats.all()].filter((connection) => contextOf(connection) >= tokens);
  expect(new Set(seats.withRoomFor(tokens))).toEqual(new Set(withRoom));
}

function bestOf(machines: Iterable<Connection>, request: Wanted, asker: Asker): Connection | null {
  const { model, slotsPerMachine } = request.spec;
  const { leastContext = 0 } = request;
  let best: Connection | null = null;
  let bestMs = Infinity;
  for (const connection of machines) {
    if (request.tried.has(connection.identity.machineId)) continue;
    if (gate(connection, model, slotsPerMachine, NOW, asker) !== null) continue;
    if ((connection.registration?.contextLength ?? Infinity) < leastContext) continue;
    const waitMs = expectedWaitMs(connection, request);
    const isLonger = best !== null && connection.lastPickedAt < best.lastPickedAt;
    if (waitMs > bestMs || (waitMs === bestMs && !isLonger)) continue;
    best = connection;
    bestMs = waitMs;
  }
  return best;
}

function aPool(): Members {
  const host = {
    onDropped: () => {},
    recordOf: () => null,
    isCordoned: () => false,
    remember: () => {},
    forget: () => {},
    onLeft: () => {},
  };
  return new Members(MODEL, host, { sleepers: NO_SLEEPERS, remembered: () => [] }, 0);
}

function apply(members: Members, step: Change, index: number): void {
  const connection = connectionOf(members, step.machine);
  if (step.kind === "come") {
    const other = aConnection(step.fields, step.machine);
    members.add(other);
    if (connection !== undefined) members.close(connection, "superseded", NOW);
    return;
  }
  if (connection === undefined) return;
  switch (step.kind) {
    case "go":
      members.close(connection, "restart", NOW);
      return;
    case "heartbeat":
      connection.registration = aConnection(step.fields).registration;
      return;
    case "send":
      connection.begin(anAttempt(connection, index, step.at));
      return;
    case "end":
      for (const attempt of [...connection.attempts.values()].slice(0, 1)) connection.end(attempt);
      return;
    case "measure":
      connection.prefillTps = step.tps;
      return;
    case "read":
      connection.hasRead(step, 1000, index % 2 === 0 ? null : 50);
      return;
    case "forget":
      connection.forgetRead();
  }
}

function connectionOf(members: Members, machineId: string): Connection | undefined {
  return [...members.seats.all()].find(({ identity }) => identity.machineId === machineId);
}

function anAttempt(connection: Connection, stream: number, sentAt: number): Attempt {
  return {
    connection,
    stream,
    requestId: `req-${stream}`,
    keyId: "key",
    model: MODEL,
    acceptWithinMs: 1000,
    request: null,
    phase: "sent",
    since: sentAt,
    sentAt,
    firstByteAt: sentAt,
    streamsAtFirstByte: 1,
    events: new WholeEvents(),
    paused: false,
  };
}
