import type OpenAI from "openai";
import { BadRequestError } from "openai";
import { describe, expect, it } from "vitest";

import { CACHE_KEY_CHARS_MAX } from "../../core/limits.ts";
import { join, type FakeProvider, type Message } from "./fake-provider.ts";
import { clientOf as anthropicOf } from "./messages-scene.ts";
import { openaiOf } from "./openai-client.ts";
import { newKey, scene, type Scene } from "./scene.ts";

/** What the official client's `prompt_cache_key` does, beside what a pool knows of the beginnings of prompts. */

const CHUNK = { choices: [{ index: 0, delta: { content: "ho" }, finish_reason: "stop" }] };
const ANSWER = `data: ${JSON.stringify(CHUNK)}\n\ndata: [DONE]\n\n`;

/** The same for all: without a key nothing tells one conversation from another. */
const INSTRUCTIONS = "You are an agent. ".repeat(500);

type Ask = (client: OpenAI, model: string, key: string | null) => Promise<unknown>;

const APIS: [string, Ask][] = [
  [
    "chat.completions",
    async (client, model, prompt_cache_key) => {
      const messages = [{ role: "system" as const, content: INSTRUCTIONS }];
      const stream = await client.chat.completions.create({
        model,
        messages,
        prompt_cache_key,
        stream: true,
      });
      for await (const _ of stream);
    },
  ],
  [
    "responses",
    async (client, model, prompt_cache_key) => {
      const asked = { model, instructions: INSTRUCTIONS, input: "Go on.", prompt_cache_key };
      for await (const _ of await client.responses.create({ ...asked, stream: true }));
    },
  ],
];

describe.each(APIS)("%s", (_, ask) => {
  it("sends the requests of a cache key where the last one went, and only those of the same API key", async () => {
    const at = await scene();
    const machines = [await join(at), await join(at)];
    const client = openaiOf(at);
    const begun = ["a", "b"].map((key) => ask(client, at.model, key));
    const firsts = await Promise.all(machines.map((machine) => machine.next("inference_request")));
    for (const [index, request] of firsts.entries()) machines[index]?.answer(request, ANSWER);
    await Promise.all(begun);
    const machineOf = (key: string): number => firsts.findIndex(({ body }) => keyIn(body) === key);
    const [a, b] = [machineOf("a"), machineOf("b")];
    expect([a, b].toSorted()).toEqual([0, 1]);

    const served = answerAll(machines);
    for (const key of ["b", "a"]) await ask(client, at.model, key);
    // What nobody has the conversation of goes to the machine that was not asked for longest.
    await ask(openaiOf({ ...at, apiKey: (await newKey("acme")).key }), at.model, "a");
    expect(served).toEqual([b, a, b]);
  });

  it.each([
    ["too long", "k".repeat(CACHE_KEY_CHARS_MAX + 1), /^400 prompt_cache_key: .*256 characters/],
    ["no text", 7 as unknown as string, /^400 prompt_cache_key: must be text/],
  ])("refuses one that is %s", async (_case, key, message) => {
    const at = await scene();
    const refused = ask(openaiOf(at), at.model, key);
    await expect(refused).rejects.toThrow(BadRequestError);
    await expect(refused).rejects.toThrow(message);
    await expect(refused).rejects.toMatchObject({ code: "invalid_request", param: "prompt_cache_key" });
  });

  it.each([null, "", "k".repeat(CACHE_KEY_CHARS_MAX)])("takes %j", async (key) => {
    const at = await scene();
    const served = answerAll([await join(at)]);
    await ask(openaiOf(at), at.model, key);
    expect(served).toEqual([0]);
  });
});

/** One more turn of the conversation that began with `opening`. */
type GoOn = (at: Scene, opening: string) => Promise<unknown>;

const turnsOf = (opening: string) => [
  { role: "user" as const, content: opening },
  { role: "assistant" as const, content: "ho" },
  { role: "user" as const, content: "And now?" },
];

async function chat(at: Scene, opening: string, fields: object = {}): Promise<void> {
  const messages = [{ role: "system" as const, content: INSTRUCTIONS }, ...turnsOf(opening)];
  const asked = { model: at.model, messages, stream: true as const, ...fields };
  for await (const _ of await openaiOf(at).chat.completions.create(asked));
}

const OF_AGENTS: [string, GoOn][] = [
  ["chat.completions without a key", chat],
  [
    "chat.completions of an application with one key",
    (at, opening) => chat(at, opening, { prompt_cache_key: "application" }),
  ],
  [
    "messages",
    async (at, opening) => {
      const messages = turnsOf(opening);
      const asked = { model: at.model, max_tokens: 9, system: INSTRUCTIONS, messages };
      for await (const _ of await anthropicOf(at).messages.create({ ...asked, stream: true }));
    },
  ],
];

it.each(OF_AGENTS)("%s go where their conversation went last", async (_, goOn) => {
  const at = await scene();
  const machines = [await join(at), await join(at)];
  const begun = ["Mend this.", "Write that."].map((opening) => goOn(at, opening));
  const firsts = await Promise.all(machines.map((machine) => machine.next("inference_request")));
  for (const [index, request] of firsts.entries()) machines[index]?.answer(request, ANSWER);
  await Promise.all(begun);
  const machineOf = (opening: string): number =>
    firsts.findIndex(({ body }) => JSON.stringify(body).includes(opening));
  const [mend, write] = [machineOf("Mend this."), machineOf("Write that.")];
  expect([mend, write].toSorted()).toEqual([0, 1]);

  const served = answerAll(machines);
  for (const opening of ["Write that.", "Mend this."]) await goOn(at, opening);
  expect(served).toEqual([write, mend]);
});

/** Has the machines answer whatever they get from now on. @returns which of them was asked, in the order of the requests */
function answerAll(machines: readonly FakeProvider[]): readonly number[] {
  const asked: number[] = [];
  for (const [index, machine] of machines.entries()) {
    const answerNext = (request: Message): Promise<void> => {
      asked.push(index);
      machine.answer(request, ANSWER);
      return machine.next("inference_request").then(answerNext);
    };
    void machine.next("inference_request").then(answerNext);
  }
  return asked;
}

function keyIn(body: Message["body"]): unknown {
  return (body as { prompt_cache_key?: string }).prompt_cache_key;
}
