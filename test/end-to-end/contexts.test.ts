import { afterAll, beforeAll, expect, it } from "vitest";

import { tinyModel } from "../../scripts/tiny-model.ts";
import { TOO_LONG } from "./questions.ts";
import { Stack } from "./stack.ts";

/** Two real machines with a real engine, of which one takes only a quarter of what the model was trained for. */

const stack = new Stack();

beforeAll(async () => {
  await stack.startCoordinator();
  await stack.admin.addToCatalog([tinyModel("tiny-bard")]);
  await stack.startProvider("mac-small", "tiny-bard", ["--context", "256", "--slots", "1"]);
  await stack.startProvider("mac-large", "tiny-bard", ["--slots", "1"]);
});

afterAll(() => stack.stop());

function ask(content: string) {
  const messages = [{ role: "user" as const, content }];
  return stack.client().chat.completions.create({ model: "tiny-bard", messages, max_tokens: 4 });
}

it("answer prompts that fit on one of them, side by side and one after the other", async () => {
  for (let round = 0; round < 3; round++) {
    const long = `Round ${round}: who are you, and where are you going? `.repeat(32);
    const answers = await Promise.all([ask(long), ask(long), ask("Who are you?")]);
    expect(answers[0]?.usage?.prompt_tokens).toBeGreaterThan(256);
  }
});

it("refuse one that fits on neither, with the words of the engine that takes more", async () => {
  const error: unknown = await ask(TOO_LONG).catch((cause: unknown) => cause);
  expect(error).toMatchObject({ status: 400, code: "context_length_exceeded" });
  expect(String(error)).toContain("1024 tokens");
});
