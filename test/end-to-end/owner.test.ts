import { join } from "node:path";

import { afterAll, beforeAll, expect, it } from "vitest";

import { ROOT } from "../../scripts/root.ts";
import { tinyModel } from "../../scripts/tiny-model.ts";
import { Stack, until } from "./stack.ts";

/** A machine that is assigned to one model and asked by its owner for another, with real processes and models. */

const stack = new Stack();
const MACHINE = "mac-owner";

function ask(model: string, headers: Record<string, string> = {}) {
  const messages = [{ role: "user" as const, content: "Who are you?" }];
  return stack
    .client()
    .chat.completions.create({ model, messages, temperature: 0.7, top_p: 0.9, seed: 7 }, { headers });
}

beforeAll(async () => {
  await stack.startCoordinator();
  await stack.admin.addToCatalog(["tiny-bard", "tiny-verse"].map(tinyModel));
});

afterAll(() => stack.stop());

it("[H21] [F2] leaves its model for its owner and comes back for everybody", async () => {
  const verse = `tiny-verse=${join(ROOT, "models/tiny-verse.gguf")}`;
  await stack.startProvider(MACHINE, "tiny-bard", ["--model", verse]);
  await stack.admin.setFlag("assignment_gate", "on");
  await stack.admin.pin(MACHINE, "tiny-bard");
  await until(async () => (await stack.admin.machine(MACHINE)).state === "assigned" || null);
  await expect(ask("tiny-verse")).rejects.toMatchObject({ status: 503 });
  const visited = await ask("tiny-verse", { "x-pool-route": "self" });
  expect(visited.choices[0]?.message.content).toContain("Tiny Verse");
  const back = await until(() => ask("tiny-bard").catch(() => null));
  expect(back.choices[0]?.message.content).toContain("Tiny Bard");
});

it("proves that it holds its key, where the fleet demands it", async () => {
  await stack.admin.setFlag("min_trust_level", "self_signed");
  try {
    const answer = await until(() => ask("tiny-bard").catch(() => null));
    expect(answer.choices[0]?.message.content).toContain("Tiny Bard");
    const headers = { authorization: `Bearer ${stack.dev.admin_token}` };
    const details = await fetch(`${stack.url}/v1/admin/machines/${MACHINE}`, { headers });
    expect(await details.json()).toMatchObject({ trust_level: "self_signed", trust_problem: null });
    await stack.admin.setFlag("min_trust_level", "hardware");
    await expect(ask("tiny-bard")).rejects.toMatchObject({ status: 503, code: "model_unavailable" });
  } finally {
    await stack.admin.setFlag("min_trust_level", "none");
  }
});
