import { afterAll, beforeAll, expect, it } from "vitest";

import { tinyModel } from "../../scripts/tiny-model.ts";
import { Stack } from "./stack.ts";

/** Conversations on two real machines with a real engine: each turn repeats all that was said before. */

const stack = new Stack();
const MACHINES = ["mac-one", "mac-two"];

beforeAll(async () => {
  await stack.startCoordinator();
  await stack.admin.addToCatalog([tinyModel("tiny-bard")]);
  for (const machine of MACHINES) await stack.startProvider(machine, "tiny-bard");
});

afterAll(() => stack.stop());

/** Asks, and asks on with the answer in the prompt. @returns tokens that were cached of those of the second prompt. */
async function converse(about: string): Promise<{ cached: number; prompt: number }> {
  const say = (messages: readonly Message[]) =>
    stack.client().chat.completions.create({
      model: "tiny-bard",
      messages: [...messages],
      max_tokens: 16,
      temperature: 0.7,
      seed: 7,
    });
  const messages: Message[] = [{ role: "user", content: about }];
  const first = await say(messages);
  messages.push({ role: "assistant", content: first.choices[0]?.message.content ?? "" });
  messages.push({ role: "user", content: "Who are you?" });
  const { usage } = await say(messages);
  return { cached: usage?.prompt_tokens_details?.cached_tokens ?? 0, prompt: usage?.prompt_tokens ?? 0 };
}

interface Message {
  readonly role: "user" | "assistant";
  readonly content: string;
}

it("come back to the machine that has read them, though the other one is as idle and has waited longer", async () => {
  for (const name of ["Anna", "Bert", "Carl", "Dora"]) {
    const { cached, prompt } = await converse(`${name} says: who are you, and where are you? `.repeat(16));
    expect(prompt).toBeGreaterThan(100);
    expect(cached).toBeGreaterThan(prompt / 2);
  }
});

it("are too short for that below 512 characters, and then go to the one that has waited longer", async () => {
  for (const name of ["Anna", "Bert"]) {
    const { cached, prompt } = await converse(`${name} says: who are you, and where are you? `.repeat(4));
    expect(cached).toBeLessThan(prompt / 4);
  }
});
