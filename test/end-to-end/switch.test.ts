import { type ChildProcess } from "node:child_process";
import { once } from "node:events";

import { APIError } from "openai";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";

import { tinyModel } from "../../scripts/tiny-model.ts";
import { ask, longStream, type LongStream, Stack, Traffic, until } from "./stack.ts";

/**
 * A machine is moved from one model to the other, and everything dies in between: real processes, real sockets, real
 * models. All the while both models are asked who they are, and the wrong one must never answer.
 *
 * Each test moves the machine to the model that it does not serve. Its program is stopped by a signal in the state that
 * the test is about; if the computer was too slow to meet it, the machine is moved once more.
 */

const MODELS = ["tiny-bard", "tiny-verse"] as const;
type Model = (typeof MODELS)[number];

/** In the order of a switch. */
const STATES = ["expected", "draining", "loading", "assigned"] as const;
type State = (typeof STATES)[number];

const MACHINE = "mac-switched";

const stack = new Stack();
let program: ChildProcess;
let traffic: Traffic;

beforeAll(async () => {
  await stack.startCoordinator();
  await stack.admin.addToCatalog(MODELS.map(tinyModel));
  await stack.admin.setFlag("pool_exhausted_429", "on");
  program = await stack.startProvider(MACHINE, MODELS);
});

afterAll(() => stack.stop());

beforeEach(async () => {
  await stack.admin.setFlag("assignment_gate", "on");
  await servedModel();
  traffic = new Traffic(stack.client(), MODELS);
});

afterEach(async () => {
  program.kill("SIGCONT");
  for (const [model, outcomes] of await traffic.stop()) {
    const wrong = outcomes.filter((outcome) => outcome !== model && !/^(4|5)\d\d |^no conn/.test(outcome));
    expect(wrong, `who answered for ${model}`).toEqual([]);
  }
});

describe("a switch", () => {
  it("[C1, C2, C3, C20, F5, F11] drains, loads and serves, and every report tells the same story", async () => {
    const { from, to, epoch, streams } = await bringTo("draining");
    expect(await poolRows()).toMatchObject({ [from]: { serving: 0 }, [to]: { serving: 0, draining: 1 } });
    expect(await ask(stack.client(), from)).toBe("429 pool_exhausted");
    expect(await ask(stack.client(), to)).toBe("429 pool_exhausted");
    const refused = await refusalOf(from);
    expect(Number(refused.headers?.get("retry-after"))).toBeGreaterThanOrEqual(10);
    expect(refused.headers?.get("x-pool-reason")).toBe("pool_exhausted");

    program.kill("SIGCONT");
    for (const outcome of await Promise.all(streams.map((stream) => stream.outcome))) {
      expect(["length", "stop", "error"]).toContain(outcome);
    }
    await until(async () => {
      expect(await ask(stack.client(), from)).toBe("429 pool_exhausted");
      const row = (await poolRows())[to];
      return row?.serving === 1 ? true : null;
    });
    await serves(to);
    expect(await ask(stack.client(), from)).toBe("429 pool_exhausted");
    expect(await poolRows()).toMatchObject({ [from]: { serving: 0 }, [to]: { serving: 1, loading: 0 } });
    const { co_resident_machines, last_switches } = (await stack.admin.utilization()).model_pools;
    expect(co_resident_machines).toBe(0);
    expect(last_switches[0]).toMatchObject({ machine_id: MACHINE, from, to, epoch, outcome: "succeeded" });
    const outcomes = await traffic.stop();
    for (const model of [from, to]) {
      expect(["429 pool_exhausted", model]).toEqual(expect.arrayContaining([...(outcomes.get(model) ?? [])]));
    }

    await stack.admin.setFlag("pool_exhausted_429", "off");
    // The edge may give the refusal of before for a second.
    await until(async () => (await ask(stack.client(), from)) === "503 model_unavailable" || null);
    await stack.admin.setFlag("pool_exhausted_429", "on");
  });
});

describe("the provider is killed", () => {
  it.each(STATES)("[D1, D2, F6, H8] %s: it comes back to the model it was ordered to hold", async (state) => {
    const { from, to, epoch, streams } = await bringTo(state);
    program.kill("SIGKILL");
    await once(program, "exit");
    for (const { outcome } of streams) expect(await outcome).not.toBe("cut");
    program = await stack.startProvider(MACHINE, MODELS);
    await serves(to);
    expect(await ask(stack.client(), from)).toBe("429 pool_exhausted");
    const machine = await stack.admin.machine(MACHINE);
    expect(machine.epoch).toBeGreaterThanOrEqual(epoch);
    expect((await stack.admin.utilization()).model_pools.co_resident_machines).toBe(0);
  });
});

describe("the coordinator is killed", () => {
  it.each(STATES)("[D1, D2, D11, H18, H19] %s: the machine goes on where it was", async (state) => {
    const { to, epoch, streams } = await bringTo(state);
    await stack.killCoordinator();
    for (const { outcome } of streams) expect(await outcome).not.toBe("cut");
    await stack.startCoordinator();
    program.kill("SIGCONT");
    await serves(to);
    const machine = await stack.admin.machine(MACHINE);
    expect(machine.epoch).toBeGreaterThanOrEqual(epoch);
  });
});

describe("the gate is switched off", () => {
  it.each(["draining", "loading"] as const)(
    "[F2, C7, C21, H17] %s: the machine serves both models again without a restart",
    async (state) => {
      const { from, to, epoch, streams } = await bringTo(state);
      await stack.admin.setFlag("assignment_gate", "off");
      program.kill("SIGCONT");
      for (const { outcome } of streams) expect(["length", "stop"]).toContain(await outcome);
      const machine = await until(async () => {
        const seen = await stack.admin.machine(MACHINE);
        return seen.state === "unmanaged" ? seen : null;
      });
      expect(machine).toMatchObject({ assigned_model: null });
      expect(machine.epoch).toBeGreaterThan(epoch);
      // Whoever comes while the other one is being served waits or is refused.
      for (const model of [from, to, from]) {
        await until(async () => ((await ask(stack.client(), model)) === model ? true : null));
      }
      const { last_switches } = (await stack.admin.utilization()).model_pools;
      const outcomes = last_switches.filter((entry) => entry.epoch >= epoch).map(({ outcome }) => outcome);
      expect(outcomes).toEqual(["succeeded", "superseded"]);
      expect(program.exitCode).toBeNull();
    },
  );
});

/** Sees to it that the machine is assigned and serves. @returns what it serves, and the other model. */
async function servedModel(): Promise<{ from: Model; to: Model }> {
  const { assigned_model } = await stack.admin.machine(MACHINE);
  const from = MODELS.find((model) => model === assigned_model) ?? "tiny-bard";
  await stack.admin.pin(MACHINE, from);
  await serves(from);
  return { from, to: otherThan(from) };
}

function otherThan(model: Model): Model {
  return model === "tiny-bard" ? "tiny-verse" : "tiny-bard";
}

/** Orders the machine to the other model and stops its program in this state of the switch. */
async function bringTo(state: State): Promise<Scene> {
  for (;;) {
    const { from, to } = await servedModel();
    const streams =
      state === "draining"
        ? await Promise.all([longStream(stack.client(), from), longStream(stack.client(), from)])
        : [];
    if (state === "expected") program.kill("SIGSTOP");
    const epoch = await stack.admin.pin(MACHINE, to);
    if (await isStoppedIn(state)) return { from, to, epoch, streams };
  }
}

interface Scene {
  readonly from: Model;
  readonly to: Model;
  /** Of the order. */
  readonly epoch: number;
  readonly streams: readonly LongStream[];
}

/** @returns false if the state has passed; then the program goes on. */
async function isStoppedIn(state: State): Promise<boolean> {
  await until(async () => {
    const machine = await stack.admin.machine(MACHINE);
    return STATES.indexOf(machine.state as State) >= STATES.indexOf(state) ? true : null;
  });
  program.kill("SIGSTOP");
  // What it has sent before arrives.
  await new Promise((resolve) => setTimeout(resolve, 100));
  if ((await stack.admin.machine(MACHINE)).state === state) return true;
  program.kill("SIGCONT");
  return false;
}

/** The machine holds this model and no other, and answers for it. */
async function serves(model: Model): Promise<void> {
  await until(async () => {
    const { state, assigned_model, loaded_models } = await stack.admin.machine(MACHINE);
    expect(state).not.toBe("failed");
    expect(loaded_models.length).toBeLessThanOrEqual(1);
    return state === "assigned" && assigned_model === model && loaded_models[0] === model ? true : null;
  });
  await until(async () => ((await ask(stack.client(), model)) === model ? true : null));
}

async function poolRows() {
  const { pools } = (await stack.admin.utilization()).model_pools;
  return Object.fromEntries(pools.map((row) => [row.model_id, row]));
}

async function refusalOf(model: Model): Promise<APIError> {
  const messages = [{ role: "user" as const, content: "Who are you?" }];
  const error: unknown = await stack
    .client()
    .chat.completions.create({ model, messages })
    .catch((caught: unknown) => caught);
  if (error instanceof APIError) return error;
  throw new Error("it was not refused");
}
