import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import type { LlamaModel } from "node-llama-cpp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { normalized, parseInputs } from "../../provider/src/embeddings.ts";
import {
  type EmbeddingEvent,
  EngineError,
  type LoadedModel,
  type LocalModel,
} from "../../provider/src/engine.ts";
import { LlamaEmbedder } from "../../provider/src/engines/llama-embedder.ts";
import type { LlamaHost } from "../../provider/src/engines/llama-host.ts";
import { loadLlama } from "../../provider/src/engines/llama-loader.ts";
import { purposeOf, readsInOnePiece } from "../../provider/src/engines/model-purpose.ts";
import { withKeys } from "../support/gguf.ts";
import { nearness } from "../support/nearness.ts";
import { ask, embed, failure, hello } from "./engine-questions.ts";
import { BARD, load, modelAt } from "./llama-models.ts";

/**
 * Models that were made for vectors. None is small enough for the repository: tiny-bard plays them, in files that name
 * a way of pooling or say that its tokens see those after them.
 */

const directory = mkdtempSync(join(tmpdir(), "embeddings-"));
afterAll(() => rmSync(directory, { recursive: true }));

function bardThat(name: string, keys: Readonly<Record<string, number | boolean>>, spoil = false): LocalModel {
  const path = join(directory, `${name}.gguf`);
  const bytes = withKeys(BARD.path, keys);
  writeFileSync(path, spoil ? bytes.fill(0xff, bytes.length - 2_000_000) : bytes);
  return modelAt(name, path);
}

let host: LlamaHost;
beforeAll(async () => {
  const order = { slots: 2, contextTokens: 1024, threads: 1, gpu: false, sliceTokens: 256 };
  const report = { onProgress: () => undefined, onLog: () => undefined };
  host = await loadLlama({ type: "load", path: BARD.path, ...order }, report, new AbortController().signal);
});
afterAll(() => host.dispose());

describe.each([
  ["the mean of its tokens", { "llama.pooling_type": 1 }],
  ["the last of its tokens", { "llama.pooling_type": 3 }],
  ["tokens that see each other", { "llama.pooling_type": 1, "llama.attention.causal": false }],
])("a model whose vector is made of %s", (name, keys) => {
  let loaded: LoadedModel;
  beforeAll(async () => {
    loaded = await load(bardThat(name, keys));
  });
  afterAll(() => loaded.unload());

  it("makes vectors", async () => {
    const texts = ["My lord, the king is dead.", "My lord, the queen is dead.", "Hello, who are you?"];
    const { vectors } = await embed(loaded, { input: texts });
    expect(nearness(vectors[0], vectors[1])).toBeGreaterThan(nearness(vectors[0], vectors[2]));
  });

  it("makes the same one of a long text, however small its batches may be", async () => {
    const model = await host.llama.loadModel({ modelPath: loaded.model.path });
    const [inPieces, whole] = await Promise.all(
      [64, 1024].map(async (batchTokens) => {
        const embedder = new LlamaEmbedder(model, { slots: 1, contextTokens: 1024, threads: 1, batchTokens });
        const body = { input: "O king, ".repeat(100) + "to be ".repeat(200) };
        const vectors: EmbeddingEvent[] = [];
        const emit = (event: EmbeddingEvent): void => void vectors.push(event);
        await embedder.run(body, {
          emit,
          signal: new AbortController().signal,
          mayGoOn: async () => undefined,
        });
        return [...(vectors[0]?.vector ?? [])];
      }),
    );
    await model.dispose();
    expect(nearness(inPieces, whole)).toBeGreaterThan(0.999);
  });

  it("refuses a chat, and names what is wrong with it", async () => {
    const error = await failure(ask(loaded, hello()));
    expect(error).toMatchObject({ class: "client", code: "unsupported" });
    expect(error.message).toMatch(/^model: .*embeddings/);
  });
});

it("other ways of pooling give other vectors", async () => {
  const vectorOf = async (model: LocalModel): Promise<readonly number[]> => {
    const loaded = await load(model);
    const { vectors } = await embed(loaded, { input: "My lord, the king is dead." });
    await loaded.unload();
    return vectors[0] ?? [];
  };
  const mean = await vectorOf(bardThat("mean", { "llama.pooling_type": 1 }));
  const last = await vectorOf(bardThat("last", { "llama.pooling_type": 3 }));
  expect(nearness(mean, last)).toBeLessThan(0.95);
  // What a chat model gives, too.
  expect(await vectorOf(BARD)).toStrictEqual(last);
});

it("a model that ranks texts is not loaded, since nobody could ask for it", async () => {
  const error = await failure(load(bardThat("rank", { "llama.pooling_type": 4 })));
  expect(error).toMatchObject({ class: "fault", code: "load_failed" });
  expect(error.message).toContain("ranks");
});

it("a model that translates text into text needs no memory for vectors, and refuses them by name", async () => {
  const model = { fileInsights: { hasEncoder: true, hasDecoder: true } } as LlamaModel;
  const options = { slots: 1, contextTokens: 512, threads: 1, batchTokens: 64 };
  const embedder = new LlamaEmbedder(model, options);
  await embedder.prepare();
  const control = {
    emit: () => undefined,
    signal: new AbortController().signal,
    mayGoOn: async () => undefined,
  };
  const error = await failure(embedder.run({ input: "Hello" }, control));
  expect(error).toMatchObject({ class: "client", code: "unsupported" });
  expect(error.message).toMatch(/^model: /);
});

it("weights that are noise are found when the model is warmed", async () => {
  const error = await failure(load(bardThat("noise", { "llama.pooling_type": 1 }, true)));
  expect(error).toMatchObject({ class: "fault", code: "warmup_failed" });
});

describe("vectors of a chat model", () => {
  const run = (input: string, signal = new AbortController().signal, mayGoOn = () => Promise.resolve()) =>
    host.embedder.run({ input }, { emit: () => undefined, signal, mayGoOn });

  it("are refused as long as there is no memory for them, and blame nobody", async () => {
    await host.llama.setRamCap(1);
    expect(await failure(run("Hello"))).toMatchObject({ class: "capacity", code: "insufficient_memory" });
    await host.llama.setRamCap(null);
    expect(await run("Hello")).toMatchObject({ finishReason: "stop" });
  });

  it("are not waited for any more once their request is given up", async () => {
    const abort = new AbortController();
    const stopped = run("to be ".repeat(500), abort.signal, async () => {
      setImmediate(() => abort.abort());
    });
    const { finishReason, prefillMs } = await stopped;
    expect(finishReason).toBe("cancelled");
    expect(prefillMs).toBeLessThan((await run("to be ".repeat(500))).prefillMs);
  });

  it("are made for as many requests at once as there are slots", async () => {
    const [one, two, three] = await Promise.allSettled([run("a"), run("b"), run("c")]);
    expect([one.status, two.status]).toStrictEqual(["fulfilled", "fulfilled"]);
    expect(three).toMatchObject({ reason: { class: "capacity", code: "no_free_slot" } });
    expect(await run("d")).toMatchObject({ finishReason: "stop" });
  });
});

describe("what a model was made for", () => {
  const WRITES = { pooling: 0, isCausal: true, hasDecoder: true };

  it.each([
    ["chat", false, {}],
    ["embeddings", true, { pooling: 1 }],
    ["embeddings", true, { pooling: 2 }],
    ["embeddings", false, { pooling: 3 }],
    ["embeddings", true, { isCausal: false }],
    ["embeddings", false, { hasDecoder: false }],
    ["ranking", true, { pooling: 4, isCausal: false }],
  ] as const)("is %s, with texts in one piece: %s, for %j", (purpose, isWhole, facts) => {
    expect(purposeOf({ ...WRITES, ...facts })).toBe(purpose);
    expect(readsInOnePiece({ ...WRITES, ...facts })).toBe(isWhole);
  });
});

describe("a request for vectors", () => {
  const input = Array.from({ length: 2048 }, () => "x");

  it.each([
    ["float", 300, 2048],
    [undefined, 1024, 906],
    ["base64", 1024, 2048],
  ])("is taken if its answer will do (%s, %i numbers, %i texts)", (form, dimensions, texts) => {
    const body = { input: input.slice(0, texts), encoding_format: form };
    expect(parseInputs(body, dimensions)).toHaveLength(texts);
  });

  it.each([
    [undefined, 1024, 907, 906],
    ["float", 1024, 2048, 906],
    ["base64", 4096, 2048, 755],
  ])(
    "is refused if its answer would be too large (%s, %i numbers, %i texts)",
    (form, dimensions, texts, most) => {
      const body = { input: input.slice(0, texts), encoding_format: form };
      const why = `input: at most ${most} vectors of this model and form fit into an answer`;
      expect(() => parseInputs(body, dimensions)).toThrow(new EngineError("client", "invalid_request", why));
    },
  );

  it("has no vector of length 1 if the model's has none", () => {
    expect(normalized([3, 4])).toStrictEqual(Float32Array.of(0.6, 0.8));
    expect(normalized([0, 0])).toBeNull();
    expect(normalized([NaN, 1])).toBeNull();
  });
});
