import type OpenAI from "openai";

import { Stack } from "../../test/end-to-end/stack.ts";
import { quantile } from "../support/load.ts";

/**
 * The same with the real engine and the tiny model that the repository ships: conversations of two turns on two
 * machines. Without: the second turn begins with another word, so that nothing leads it back and nothing is cached.
 */

const CONVERSATIONS = 20;
const stack = new Stack();

interface Turn {
  readonly firstTokenMs: number;
  readonly promptTokens: number;
  readonly cachedTokens: number;
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

try {
  await stack.startCoordinator();
  await stack.admin.addToCatalog([{ id: "tiny-bard", context_length: 1024, size_gb: 0.003, min_ram_gb: 1 }]);
  for (const machine of ["mac-one", "mac-two"]) await stack.startProvider(machine, "tiny-bard");
  const client = stack.client();
  const turns = { with: [] as Turn[], without: [] as Turn[] };
  for (let i = 0; i < CONVERSATIONS; i++) {
    for (const way of ["with", "without"] as const) {
      const told = `${way} ${i}: who are you, and where are you? `.repeat(30);
      await ask(client, [told]);
      const again = way === "with" ? told : `Now ${told}`;
      turns[way].push(await ask(client, [again, "I am here.", "Who are you?"]));
    }
  }
  for (const way of ["without", "with"] as const) {
    const [ms, prompt, cached] = (["firstTokenMs", "promptTokens", "cachedTokens"] as const).map((field) =>
      quantile(
        turns[way].map((turn) => turn[field]),
        0.5,
      ),
    );
    console.log(
      `${way}: first token ${ms?.toFixed(1)} ms, ${cached} of ${prompt} prompt tokens cached (medians)`,
    );
  }
} finally {
  await stack.stop();
}
