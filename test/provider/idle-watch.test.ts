import { beforeEach, describe, expect, it } from "vitest";

import type { LogFields } from "../../provider/src/agent/ports.ts";
import type { AgentStatus } from "../../provider/src/agent/status.ts";
import type { Explanation } from "../../provider/src/explain.ts";
import { IdleWatch } from "../../provider/src/idle-watch.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const IDLE: AgentStatus = {
  state: "serving",
  model: "alpha",
  progress: 0,
  running: 0,
  slots: 4,
  tokens: 0,
  pools: 1,
  nextDialAt: null,
  reservedBecause: null,
  assignment: null,
};
const TOO_HOT = { gate: "too_hot", why: "it is too hot", fix: "let it cool down" };
const ASSIGNED = { model: "alpha", epoch: 1, reason: "pinned", phase: "serving" } as const;

let clock: VirtualClock;
let status: AgentStatus;
let explanation: Explanation | null;
let questions: number;
let lines: { message: string; fields: LogFields }[];
let idleWatch: IdleWatch;
let coming: string | null;

beforeEach(() => {
  clock = new VirtualClock();
  status = IDLE;
  explanation = { ...TOO_HOT, advice: null };
  questions = 0;
  coming = null;
  lines = [];
  const note = (message: string, fields: LogFields = {}): void => {
    lines.push({ message, fields });
  };
  idleWatch = new IdleWatch({
    clock,
    status: () => status,
    explain: () => {
      questions += 1;
      return Promise.resolve(explanation);
    },
    coming: () => coming,
    log: { info: note, warn: note, error: note },
  });
  idleWatch.start();
});

describe("an idle machine", () => {
  it("says why soon after it has connected, and again only when the reason is another one", async () => {
    await clock.advance(3_000);
    expect(lines).toEqual([{ message: "why idle", fields: TOO_HOT }]);
    await clock.advance(120_000);
    expect(questions).toBe(3);
    expect(lines).toHaveLength(1);
    explanation = { gate: "failed", why: "it will be tried again in 90 s", fix: null, advice: null };
    await clock.advance(60_000);
    explanation = { gate: "failed", why: "it will be tried again in 30 s", fix: null, advice: null };
    await clock.advance(60_000);
    expect(lines).toHaveLength(2);
  });

  it("says beside it what is still on its way: the coordinator would have it downloaded", async () => {
    coming = "beta: it is being downloaded";
    await clock.advance(3_000);
    expect(lines).toEqual([{ message: "why idle", fields: { ...TOO_HOT, coming } }]);
  });

  it("says which model would be worth more, and not again because that counts up or down", async () => {
    const advice = 'about 38 more requests an hour could be served with "b" on this machine';
    explanation = { ...TOO_HOT, advice };
    await clock.advance(3_000);
    expect(lines).toEqual([{ message: "why idle", fields: { ...TOO_HOT, advice } }]);
    explanation = { ...TOO_HOT, advice: advice.replace("38", "40") };
    await clock.advance(60_000);
    expect(lines).toHaveLength(1);
  });

  it("asks anew after each change of its assignment", async () => {
    await clock.advance(3_000);
    status = { ...IDLE, assignment: ASSIGNED };
    await clock.advance(4_000);
    status = { ...IDLE, assignment: { ...ASSIGNED, epoch: 2 } };
    await clock.advance(4_000);
    expect(questions).toBe(3);
  });

  it("mentions once that the coordinator does not answer", async () => {
    explanation = null;
    await clock.advance(180_000);
    expect(questions).toBe(3);
    expect(lines.map(({ message }) => message)).toEqual([
      "the coordinator does not say why this machine is idle",
    ]);
  });

  it("is silent once it stops", async () => {
    idleWatch.stop();
    await clock.advance(180_000);
    expect(questions).toBe(0);
    expect(clock.pending()).toBe(0);
  });
});

it.each([
  ["busy", { running: 1 }],
  ["not connected", { pools: 0 }],
])("a machine that is %s does not ask", async (_, fields) => {
  status = { ...IDLE, ...fields };
  await clock.advance(180_000);
  expect(questions).toBe(0);
});
