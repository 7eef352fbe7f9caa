import { writeFileSync } from "node:fs";
import { join } from "node:path";

import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { OpenAIEmbeddings } from "@langchain/openai";
import { embedMany } from "ai";
import { BadRequestError } from "openai";
import { afterAll, beforeAll, expect, it } from "vitest";

import { ROOT } from "../../scripts/root.ts";
import { tinyModel } from "../../scripts/tiny-model.ts";
import { withKeys } from "../support/gguf.ts";
import { nearness } from "../support/nearness.ts";
import { TOO_LONG, WHO } from "./questions.ts";
import { ask, Stack } from "./stack.ts";

/** Embeddings of a real model through the whole product, by the clients that people index their documents with. */

const KING = "My lord, the king is dead.";
const QUEEN = "My lord, the queen is dead.";
const TEXTS = [KING, WHO, QUEEN];

const stack = new Stack();

beforeAll(async () => {
  await stack.startCoordinator();
  await stack.admin.addToCatalog([tinyModel("tiny-bard"), tinyModel("tiny-vectors")]);
  // A machine with a model that only makes vectors on its disk, beside the one that chats.
  const path = join(stack.dir, "tiny-vectors.gguf");
  writeFileSync(path, withKeys(join(ROOT, "models/tiny-bard.gguf"), { "llama.pooling_type": 1 }));
  await stack.startProvider("mac-embeddings", "tiny-bard", ["--model", `tiny-vectors=${path}`]);
});
afterAll(() => stack.stop());

function expectSense(vectors: readonly (readonly number[])[]): void {
  const [king, who, queen] = vectors;
  expect(vectors).toHaveLength(3);
  for (const vector of vectors) expect(Math.hypot(...vector)).toBeCloseTo(1, 5);
  expect(nearness(king, queen)).toBeGreaterThan(nearness(king, who) + 0.1);
}

it("the official client gets the same vectors as base64 and as numbers, in the order of its texts", async () => {
  const { embeddings } = stack.client();
  const body = { model: "tiny-bard", input: TEXTS };
  const { data, usage, ...list } = await embeddings.create(body);
  expect(list).toEqual({ object: "list", model: "tiny-bard" });
  expect(data.map(({ index }) => index)).toEqual([0, 1, 2]);
  const vectors = data.map(({ embedding }) => embedding);
  expectSense(vectors);
  expect(usage.prompt_tokens).toBeGreaterThan(3 * 4);
  expect(usage.total_tokens).toBe(usage.prompt_tokens);
  const numbers = await embeddings.create({ ...body, encoding_format: "float", dimensions: 192 });
  expect(numbers.data.map(({ embedding }) => embedding.map(Math.fround))).toEqual(vectors);
});

it("a text that is too long, or a size that the model does not have, is refused by name", async () => {
  const { embeddings } = stack.client();
  const failure = (fields: object): Promise<unknown> =>
    embeddings.create({ model: "tiny-bard", input: WHO, ...fields }).catch((error: unknown) => error);
  const long = await failure({ input: [WHO, TOO_LONG] });
  expect(long).toBeInstanceOf(BadRequestError);
  expect(long).toMatchObject({ code: "context_length_exceeded", param: "input[1]" });
  expect(await failure({ dimensions: 64 })).toMatchObject({ code: "unsupported", param: "dimensions" });
});

it("a model that only makes vectors makes them, and refuses chats; its machine then chats with another", async () => {
  const client = stack.client();
  const { data } = await client.embeddings.create({ model: "tiny-vectors", input: TEXTS });
  expectSense(data.map(({ embedding }) => embedding));
  const chat = { model: "tiny-vectors", messages: [{ role: "user" as const, content: WHO }] };
  const refused: unknown = await client.chat.completions.create(chat).catch((error: unknown) => error);
  expect(refused).toBeInstanceOf(BadRequestError);
  expect(refused).toMatchObject({ code: "unsupported", param: "model" });
  expect(await ask(client, "tiny-bard")).toBe("tiny-bard");
});

it("a thousand texts come in one answer, and chats go on beside them", async () => {
  const client = stack.client();
  const input = Array.from({ length: 1000 }, (_, number) => `The king has ${number} men.`);
  const asked = client.embeddings.create({ model: "tiny-bard", input });
  expect(await ask(client, "tiny-bard")).toBe("tiny-bard");
  const { data } = await asked;
  expect(data.map(({ index }) => index)).toEqual(input.map((_, number) => number));
});

it("LangChain's embeddings make sense", async () => {
  const { api_key: apiKey, base_url: baseURL } = stack.dev;
  const embeddings = new OpenAIEmbeddings({ model: "tiny-bard", apiKey, configuration: { baseURL } });
  expectSense(await embeddings.embedDocuments(TEXTS));
});

it("the AI SDK's embeddings make sense", async () => {
  const { api_key: apiKey, base_url: baseURL } = stack.dev;
  const provider = createOpenAICompatible({ name: "poolkeeper", baseURL, apiKey });
  const { embeddings, usage } = await embedMany({
    model: provider.embeddingModel("tiny-bard"),
    values: TEXTS,
  });
  expectSense(embeddings);
  expect(usage.tokens).toBeGreaterThan(3 * 4);
});
