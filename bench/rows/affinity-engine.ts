import type OpenAI from "openai";

import { tinyModel } from "../../scripts/tiny-model.ts";
import { Stack } from "../../test/end-to-end/stack.ts";
import type { RowSpec } from "../row.ts";
import { quantile } from "../support/load.ts";

/**
 * Affinity with the real engine and the tiny model that the repository ships: conversations of two turns on two
 * machines. Without: the second turn begins with another word, so that nothing leads it back and nothing is cached.
 */

const CONVERSATIONS = 20;
const QUICK_CONVERSATIONS = 8;
const AT_MOST = 0.7;

interface Turn {
  readonly firstTokenMs: number;
  readonly promptTokens: number;
  readonly cachedTokens: number;
}

export const affinityEngine: RowSpec = {
  work: "first token of a conversation's second turn with the real engine, 450 tokens on two machines, beside one that nobody has read",
  target: `at most ${AT_MOST}`,
  async run(quick) {
    const stack = new Stack();
    try {
      const client = await started(stack);
      const again: Turn[] = [];
      const anew: Turn[] = [];
      for (let i = 0; i < (quick ? QUICK_CONVERSATIONS : CONVERSATIONS); i++) {
        again.push(await secondTurn(client, `again ${i}`, ""));
        anew.push(await secondTurn(client, `anew ${i}`, "Now "));
      }
      const ratio = medianOf(again, "firstTokenMs") / medianOf(anew, "firstTokenMs");
      return {
        reached: `${ratio.toFixed(2)}: ${described(again)}, beside ${described(anew)}`,
        met: ratio <= AT_MOST,
      };
    } finally {
      await stack.stop();
    }
  },
};

async function started(stack: Stack): Promise<OpenAI> {
  await stack.startCoordinator();
  await stack.admin.addToCatalog([tinyModel("tiny-bard")]);
  for (const machine of ["mac-one", "mac-two"]) await stack.startProvider(machine, "tiny-bard");
  return stack.client();
}

async function secondTurn(client: OpenAI, name: string, changed: string): Promise<Turn> {
  const told = `${name}: who are you, and where are you? `.repeat(30);
  await ask(client, [told]);
  return ask(client, [changed + told, "I am here.", "Who are you?"]);
}

async function ask(client: OpenAI, content: readonly string[]): Promise<Turn> {
  const startedAt = performance.now();
  let firstTokenMs = Number.NaN;
  const usage = { promptTokens: 0, cachedTokens: 0 };
  const stream = await client.chat.completions.create({
    model: "tiny-bard",
    messages: content.map((text, index) => ({ role: index % 2 === 0 ? "user" : "assistant", content: text })),
    max_tokens: 8,
    temperature: 0.7,
    seed: 7,
    stream: true,
    stream_options: { include_usage: true },
  });
  for await (const chunk of stream) {
    if (Number.isNaN(firstTokenMs)) firstTokenMs = performance.now() - startedAt;
    usage.promptTokens = chunk.usage?.prompt_tokens ?? usage.promptTokens;
    usage.cachedTokens = chunk.usage?.prompt_tokens_details?.cached_tokens ?? usage.cachedTokens;
  }
  return { firstTokenMs, ...usage };
}

function medianOf(turns: readonly Turn[], field: keyof Turn): number {
  return quantile(
    turns.map((turn) => turn[field]),
    0.5,
  );
}

function described(turns: readonly Turn[]): string {
  const [ms, cached, prompt] = (["firstTokenMs", "cachedTokens", "promptTokens"] as const).map((field) =>
    medianOf(turns, field).toFixed(0),
  );
  return `${ms} ms with ${cached} of ${prompt} tokens cached`;
}
