import type OpenAI from "openai";
import { afterAll, beforeAll, expect, it } from "vitest";

import { tinyModel } from "../../scripts/tiny-model.ts";
import { ExampleProcess } from "../support/example-process.ts";
import { Stack, until } from "./stack.ts";

/**
 * The provider of `examples/`, which is written from the protocol's page and shares no code with ours, through the life
 * of a machine. Each test leaves it as the next one expects it.
 */

const MODELS = ["tiny-bard", "tiny-verse"] as const;
type Model = (typeof MODELS)[number];

const stack = new Stack();
let example: ExampleProcess;

beforeAll(async () => {
  await stack.startCoordinator();
  await stack.admin.addToCatalog(MODELS.map(tinyModel));
  example = new ExampleProcess(stack.url, stack.dev.provider_token, MODELS);
  example.start();
  await until(async () => (await ask("tiny-bard").catch(() => null)) !== null || null);
});

afterAll(async () => {
  await example.dispose();
  await stack.stop();
});

it("answers chats and streams of all its models, and changes the model for whoever asks", async () => {
  for (const model of [...MODELS, "tiny-bard"] as const) {
    const answer = await until(() => ask(model).catch(() => null));
    expect(answer.choices[0]).toMatchObject({
      finish_reason: "stop",
      message: { content: `I am ${model}. 1 2 3 4 5 6 7 8 9 10 11` },
    });
    expect(answer.usage?.completion_tokens).toBe(12);
  }
  const stream = await begin("tiny-bard", 30);
  expect(await stream.rest()).toEqual({ tokens: 30, finish: "length", usage: 30 });
});

it("stops at a cancel, and has both slots for others", async () => {
  const streams = [await begin("tiny-bard", 2000), await begin("tiny-bard", 2000)];
  for (const stream of streams) stream.cancel();
  await until(() => (example.output.match(/cancelled/g) ?? []).length === 2 || null);
  const answers = await Promise.all([ask("tiny-bard"), ask("tiny-bard")]);
  expect(answers.map(textOf)).toEqual([expect.any(String), expect.any(String)]);
});

it("[C1, F5] is moved to another model and back while streams run, and cuts none", async () => {
  await stack.admin.setFlag("assignment_gate", "on");
  await pinned("tiny-bard");
  for (const [from, to] of [MODELS, MODELS.toReversed()] as [Model, Model][]) {
    const stream = await begin(from, 100);
    const epoch = await stack.admin.pin(example.kept.machine_id, to);
    expect(await stream.rest()).toEqual({ tokens: 100, finish: "length", usage: 100 });
    await pinned(to);
    expect(example.kept.assignment).toEqual({ model_id: to, epoch });
    expect(textOf(await ask(to))).toContain(to);
    await expect(ask(from)).rejects.toMatchObject({ status: 503 });
    const { last_switches } = (await stack.admin.utilization()).model_pools;
    expect(last_switches[0]).toMatchObject({ from, to, epoch, outcome: "succeeded" });
  }
});

it("[H21] refuses to leave its model for its owner, and goes on serving everybody", async () => {
  await expect(ask("tiny-verse", { "x-pool-route": "self" })).rejects.toMatchObject({ status: 429 });
  expect(textOf(await ask("tiny-bard"))).toContain("tiny-bard");
});

it("[D1, F6] is killed, and comes back to its model under the same epoch", async () => {
  const { machine_id, public_key, assignment } = example.kept;
  expect(assignment).toMatchObject({ model_id: "tiny-bard" });
  const stream = await begin("tiny-bard", 500);
  example.signal("SIGKILL");
  expect(await example.exited).toBe("SIGKILL");
  await expect(stream.rest()).rejects.toThrow("the connection to the machine was lost");
  example.start();
  await until(() => example.output.includes("loaded tiny-bard") || null);
  await pinned("tiny-bard");
  await until(() => ask("tiny-bard").catch(() => null));
  expect(example.kept).toMatchObject({ machine_id, public_key, assignment });
  expect((await stack.admin.machine(machine_id)).epoch).toBe(assignment?.epoch);
  expect(example.output).not.toContain("epoch");
});

it("[D11, H19] dials again when the coordinator has been killed, and holds what it held", async () => {
  const { assignment } = example.kept;
  await stack.killCoordinator();
  await stack.startCoordinator();
  await until(() => ask("tiny-bard").catch(() => null));
  await pinned("tiny-bard");
  expect(example.kept.assignment).toEqual(assignment);
});

it("[C7, H17] is released with the gate, and serves all its models again", async () => {
  const { machine_id, assignment } = example.kept;
  await stack.admin.setFlag("assignment_gate", "off");
  await until(async () => (await stack.admin.machine(machine_id)).state === "unmanaged" || null);
  for (const model of ["tiny-verse", "tiny-bard"] as const) {
    expect(textOf(await until(() => ask(model).catch(() => null)))).toContain(model);
  }
  expect(example.kept.assignment).toEqual({ model_id: null, epoch: expect.any(Number) });
  expect(example.kept.assignment?.epoch).toBeGreaterThan(assignment?.epoch ?? Infinity);
});

it("finishes what runs when it is stopped, and exits", async () => {
  const stream = await begin("tiny-bard", 100);
  example.signal("SIGINT");
  expect(await stream.rest()).toEqual({ tokens: 100, finish: "length", usage: 100 });
  expect(await example.exited).toBe(0);
  const { machine_id } = example.kept;
  await until(async () => (await stack.admin.machine(machine_id)).state === "offline" || null);
});

const QUESTION = [{ role: "user" as const, content: "Who are you?" }];

function ask(model: Model, headers: Record<string, string> = {}) {
  return stack.client().chat.completions.create({ model, messages: QUESTION }, { headers });
}

function textOf(answer: OpenAI.ChatCompletion): string {
  return answer.choices[0]?.message.content ?? "";
}

/** A stream whose first token is here. */
async function begin(model: Model, max_tokens: number) {
  const stream = await stack.client().chat.completions.create({
    model,
    messages: QUESTION,
    max_tokens,
    stream: true,
    stream_options: { include_usage: true },
  });
  const chunks = stream[Symbol.asyncIterator]();
  await chunks.next();
  return {
    cancel: () => stream.controller.abort(),
    async rest() {
      const end = { tokens: 1, finish: "cut", usage: 0 };
      for (let next = await chunks.next(); next.done !== true; next = await chunks.next()) {
        const [choice] = next.value.choices;
        if (choice?.delta.content !== undefined) end.tokens += 1;
        end.finish = choice?.finish_reason ?? end.finish;
        end.usage = next.value.usage?.completion_tokens ?? end.usage;
      }
      return end;
    },
  };
}

/** The machine is pinned to this model and holds no other. */
async function pinned(model: Model): Promise<void> {
  const id = example.kept.machine_id;
  if ((await stack.admin.machine(id)).assigned_model !== model) await stack.admin.pin(id, model);
  await until(async () => {
    const { state, assigned_model, loaded_models } = await stack.admin.machine(id);
    expect(state).not.toBe("failed");
    return (state === "assigned" && assigned_model === model && loaded_models.join() === model) || null;
  });
}
