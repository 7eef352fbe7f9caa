import { afterEach, beforeEach, describe, expect, it } from "vitest";

import type { LoadedModel } from "../../provider/src/engine.ts";
import { type AttachedTimes, createAttachedHost } from "../../provider/src/engines/server/attached-host.ts";
import { createServerEngine } from "../../provider/src/engines/server/server-engine.ts";
import { type Answers, ModelServer, type Reply, said } from "../support/model-server.ts";
import { ask, embed, failure, hello } from "./engine-questions.ts";

/** Servers that run anyway: what they are asked, and what comes of it. */

const servers: ModelServer[] = [];
const logged: string[] = [];
afterEach(async () => {
  logged.splice(0);
  for (const server of servers.splice(0)) await server.stop();
});

async function start(answers: Answers, port?: number): Promise<ModelServer> {
  const server = await ModelServer.start(answers, port);
  servers.push(server);
  return server;
}

type Load = (name: string, signal?: AbortSignal) => Promise<LoadedModel>;

/** One engine for this address, as the program has it. */
function engineOf(
  baseUrl: string,
  apiKey: string | null = null,
  times: Partial<AttachedTimes> = {},
  contextTokens: number | null = 4096,
): Load {
  const log = (line: string): void => void logged.push(line);
  const host = createAttachedHost({ endpoint: { baseUrl, apiKey }, log, times });
  const engine = createServerEngine(host, log);
  return (name, signal = new AbortController().signal) =>
    engine.load({ id: `id-of-${name}`, path: name, sizeBytes: 0 }, { slots: 2, contextTokens, signal });
}

const CHAT = "/v1/chat/completions";
const MODELS: Reply = { body: { object: "list", data: [] } };

/** A server without words of its own for loading. */
const plain: Answers = ({ path }) => (path === "/v1/models" ? MODELS : path === CHAT ? said("Hello.") : null);

/** The same, with nothing said of the context. */
function looseEngineOf(baseUrl: string): Load {
  return engineOf(baseUrl, null, {}, null);
}

describe("the context of a server", () => {
  it.each([
    [
      "llama-server, of one slot",
      "/props",
      { default_generation_settings: { n_ctx: 8192 }, total_slots: 4 },
      8192,
    ],
    [
      "vLLM",
      "/v1/models",
      {
        data: [
          { id: "other", max_model_len: 1 },
          { id: "m", max_model_len: 40_960 },
        ],
      },
      40_960,
    ],
    ["one that does not say", "/v1/models", { data: [{ id: "m", object: "model" }] }, null],
    ["one whose properties are others", "/props", { n_ctx: "8192" }, null],
  ])("is what %s says itself", async (_, at, body, tokens) => {
    const server = await start((asked) => (asked.path === at ? { body } : plain(asked)));
    expect((await looseEngineOf(server.baseUrl)("m")).contextTokens).toBe(tokens);
    // And what the owner says is the most that is taken.
    expect((await engineOf(server.baseUrl)("m")).contextTokens).toBe(4096);
  });

  it("is the smaller one if the owner promises more", async () => {
    const body = { default_generation_settings: { n_ctx: 2048 } };
    const server = await start((asked) => (asked.path === "/props" ? { body } : plain(asked)));
    expect((await engineOf(server.baseUrl)("m")).contextTokens).toBe(2048);
  });
});

describe("any server", () => {
  it("is asked as the client asked, under its own name of the model, for a stream with its usage", async () => {
    const server = await start(plain);
    const loaded = await engineOf(server.baseUrl)("llama-8b");
    const body = {
      ...hello(),
      model: "an-alias",
      stream: false,
      temperature: 0.3,
      top_k: 7,
      max_completion_tokens: 9,
    };
    const { content, result } = await ask(loaded, body);
    expect(content).toBe("Hello.");
    expect(result).toMatchObject({ finishReason: "stop", usage: { promptTokens: 3, completionTokens: 1 } });
    expect(server.bodiesAt(CHAT).at(-1)).toEqual({
      ...body,
      model: "llama-8b",
      stream: true,
      stream_options: { include_usage: true },
      max_tokens: 9,
    });
  });

  it("is warmed with one token, and must know the model", async () => {
    const server = await start((asked) =>
      asked.body["model"] === "no-such" ? { status: 404, body: { error: "no model" } } : plain(asked),
    );
    await engineOf(server.baseUrl)("llama-8b");
    expect(server.bodiesAt(CHAT)).toMatchObject([{ max_tokens: 1 }]);
    expect(await failure(engineOf(server.baseUrl)("no-such"))).toMatchObject({
      class: "fault",
      code: "model_missing",
    });
  });

  it("may make vectors only", async () => {
    const one = { data: [{ index: 0, embedding: [1] }] };
    const vectors = {
      data: [
        { index: 1, embedding: [0, 2] },
        { index: 0, embedding: [3, 4] },
      ],
      usage: { prompt_tokens: 5 },
    };
    const server = await start(({ path, body }) => {
      if (path === CHAT) return { status: 400, body: { error: { message: "it does not chat" } } };
      if (path === "/v1/embeddings") return { body: Array.isArray(body["input"]) ? vectors : one };
      return path === "/v1/models" ? MODELS : null;
    });
    const loaded = await engineOf(server.baseUrl)("nomic");
    const made = await embed(loaded, { input: ["a", "b"], encoding_format: "base64" });
    expect(made.vectors.map((vector) => vector.map((number) => Number(number.toFixed(4))))).toEqual([
      [0.6, 0.8],
      [0, 1],
    ]);
    expect(made.result.usage).toEqual({ promptTokens: 5, completionTokens: 0, cachedTokens: 0 });
    expect(server.bodiesAt("/v1/embeddings").at(-1)).toMatchObject({
      encoding_format: "float",
      model: "nomic",
    });
    expect(await failure(ask(loaded, hello()))).toMatchObject({
      class: "client",
      message: "it does not chat",
    });
  });

  it.each([
    ["no vector for a text", { input: ["a", "b"] }, { class: "fault", code: "server_failed" }],
    [
      "longer vectors than were asked for",
      { input: "a", dimensions: 1 },
      { class: "client", code: "unsupported" },
    ],
    ["no JSON", { input: "a", user: "html" }, { class: "fault", code: "server_failed" }],
  ])("that makes %s", async (_, body, expected) => {
    const server = await start((asked) => {
      if (asked.path !== "/v1/embeddings") return plain(asked);
      if (asked.body["user"] === "html") return { body: "<html>secret</html>" };
      return { body: { data: [{ index: 0, embedding: [3, 4] }] } };
    });
    const loaded = await engineOf(server.baseUrl)("nomic");
    const error = await failure(embed(loaded, body));
    expect(error).toMatchObject(expected);
    expect(error.message).not.toContain("secret");
  });

  it("may leave out what stands after its last event", async () => {
    const chunks = [
      { choices: [{ delta: { content: "Hello." } }] },
      { choices: [{ delta: {}, finish_reason: "stop" }], usage: { prompt_tokens: 3, completion_tokens: 1 } },
    ];
    const body = chunks.map((chunk) => `data: ${JSON.stringify(chunk)}`).join("\n\n");
    const server = await start((asked) => (asked.path === CHAT ? { body } : plain(asked)));
    const { result } = await ask(await engineOf(server.baseUrl)("llama-8b"), hello());
    expect(result.usage).toMatchObject({ promptTokens: 3, completionTokens: 1 });
  });

  it.each(["<html>", JSON.stringify({ choices: [{ message: { content: "Hello." } }] })])(
    "that does not stream is not served: %s",
    async (body) => {
      const server = await start((asked) => (asked.path === CHAT ? { body } : plain(asked)));
      expect((await failure(engineOf(server.baseUrl)("llama-8b"))).message).toContain("with a stream");
    },
  );

  it("gets the key that it wants", async () => {
    const server = await start((asked) =>
      asked.authorization === "Bearer open" ? plain(asked) : { status: 401, body: { error: "no" } },
    );
    await engineOf(server.baseUrl, "open")("llama-8b");
    const error = await failure(engineOf(server.baseUrl, "wrong")("llama-8b"));
    expect(error).toMatchObject({ class: "fault", code: "server_refused" });
    expect(error.message).toContain("POOLKEEPER_SERVER_KEY");
  });

  it.each([
    [
      400,
      { error: { message: "temperature: too hot" } },
      "client",
      "invalid_request",
      "temperature: too hot",
    ],
    [422, { error: { message: "bad", code: "unsupported" } }, "client", "unsupported", "bad"],
    [
      501,
      { error: { message: "no tools", type: "not_supported_error" } },
      "client",
      "unsupported",
      "no tools",
    ],
    [
      400,
      { error: { message: "This model's maximum context length is 4096 tokens" } },
      "client",
      "context_length_exceeded",
      "4096",
    ],
    [
      400,
      { error: { message: "x", code: "context_length_exceeded" } },
      "client",
      "context_length_exceeded",
      "x",
    ],
    [
      400,
      { error: { message: "x", type: "exceed_context_size_error" } },
      "client",
      "context_length_exceeded",
      "x",
    ],
    [400, "<html>", "client", "invalid_request", "does not say why"],
    [400, { error: "as a text" }, "client", "invalid_request", "as a text"],
    [429, { error: { message: "secret" } }, "capacity", "no_free_slot", "no room"],
    [503, { error: { message: "secret" } }, "capacity", "no_free_slot", "no room"],
    [500, { error: { message: "secret" } }, "fault", "server_failed", "500"],
  ])("that refuses with %i %j", async (status, body, errorClass, code, words) => {
    let isRefusing = false;
    const server = await start((asked) =>
      isRefusing && asked.path === CHAT ? { status, body } : plain(asked),
    );
    const loaded = await engineOf(server.baseUrl)("llama-8b");
    isRefusing = true;
    const error = await failure(ask(loaded, hello()));
    expect(error).toMatchObject({ class: errorClass, code });
    expect(error.message).toContain(words);
    expect(error.message).not.toContain("secret");
  });

  it("is waited for, which its owner is told once", async () => {
    const first = await start(plain);
    await first.stop();
    const loading = engineOf(first.baseUrl)("llama-8b");
    await expect.poll(() => logged).toHaveLength(1);
    expect(logged[0]).toContain(first.baseUrl);
    await start(plain, first.port);
    expect((await ask(await loading, hello())).content).toBe("Hello.");
    expect(logged).toHaveLength(1);
  });

  it("is given up when the load is", async () => {
    const server = await start(plain);
    await server.stop();
    const abort = new AbortController();
    const loading = engineOf(server.baseUrl)("llama-8b", abort.signal);
    await expect.poll(() => logged).toHaveLength(1);
    const reason = new Error("another model is wanted");
    abort.abort(reason);
    await expect(loading).rejects.toBe(reason);
  });

  it("that has gone ends the model as a crash does, and a request that broke off is a fault", async () => {
    const server = await start(plain);
    const loaded = await engineOf(server.baseUrl)("llama-8b");
    await server.stop();
    expect(await failure(ask(loaded, hello()))).toMatchObject({ class: "fault", code: "server_unreachable" });
    expect(await loaded.died).toMatchObject({ class: "fault", code: "engine_crashed" });
    expect(await failure(ask(loaded, hello()))).toMatchObject({ code: "engine_crashed" });
  });

  it("that goes while nothing runs is missed all the same", async () => {
    const server = await start(plain);
    const loaded = await engineOf(server.baseUrl, null, { watchMs: 1 })("llama-8b");
    await server.stop();
    expect(await loaded.died).toMatchObject({ class: "fault", code: "engine_crashed" });
  });

  describe("that hangs", () => {
    const times = { watchMs: 1, answerLimitMs: 20 };
    let isHanging: boolean;
    let looks: number;
    const hangable: Answers = (asked) => {
      if (!isHanging) return plain(asked);
      looks += 1;
      return new Promise(() => undefined);
    };
    beforeEach(() => {
      isHanging = false;
      looks = 0;
    });

    it("is noticed while nothing runs, after it was silent four times", async () => {
      const server = await start(hangable);
      const loaded = await engineOf(server.baseUrl, null, times)("llama-8b");
      isHanging = true;
      expect(await loaded.died).toMatchObject({ class: "fault", code: "engine_hangs" });
      expect(looks).toBeGreaterThanOrEqual(4);
      expect(await failure(ask(loaded, hello()))).toMatchObject({ code: "engine_hangs" });
    });

    it("is left alone if it has answered in between", async () => {
      const server = await start(({ path, ...asked }) => {
        const isLook = path === "/v1/models";
        if (isLook) looks += 1;
        const answers = plain({ path, ...asked });
        // The first two come with the load.
        return isLook && looks > 2 && looks % 4 !== 0 ? new Promise(() => undefined) : answers;
      });
      const loaded = await engineOf(server.baseUrl, null, times)("llama-8b");
      await expect.poll(() => looks).toBeGreaterThan(12);
      expect((await ask(loaded, hello())).content).toBe("Hello.");
    });

    it("is taken for busy while a request runs, or its first one loads the model", async () => {
      const answers: (() => void)[] = [];
      const server = await start((asked) => {
        if (asked.path !== CHAT) return hangable(asked);
        return new Promise((resolve) => answers.push(() => resolve(said("Hello."))));
      });
      const loading = engineOf(server.baseUrl, null, times)("llama-8b");
      await expect.poll(() => answers.length).toBe(1);
      isHanging = true;
      await expect.poll(() => looks).toBeGreaterThan(6);
      answers[0]?.();
      const asking = loading.then((loaded) => {
        isHanging = false;
        return ask(loaded, hello());
      });
      await expect.poll(() => answers.length).toBe(2);
      isHanging = true;
      looks = 0;
      await expect.poll(() => looks).toBeGreaterThan(6);
      isHanging = false;
      answers[1]?.();
      expect((await asking).content).toBe("Hello.");
    });

    it("is noticed after two more looks if it has hung with a request that was given up", async () => {
      const server = await start(hangable);
      const loaded = await engineOf(server.baseUrl, null, times)("llama-8b");
      isHanging = true;
      const abort = new AbortController();
      const running = loaded.run({ task: "chat", body: hello() }, () => undefined, abort.signal);
      const ended = running.then(
        () => undefined,
        () => undefined,
      );
      await expect.poll(() => looks).toBeGreaterThan(8);
      abort.abort();
      await ended;
      looks = 0;
      expect(await loaded.died).toMatchObject({ code: "engine_hangs" });
      expect(looks).toBeLessThan(4);
    });

    it("is loaded again when it answers again", async () => {
      const server = await start(hangable);
      const load = engineOf(server.baseUrl, null, { ...times, returnLimitMs: 0, returnWatchMs: 1 });
      const loaded = await load("llama-8b");
      isHanging = true;
      await loaded.died;
      await loaded.unload();
      const { over } = await failure(load("llama-8b"));
      isHanging = false;
      await over;
      expect((await ask(await load("llama-8b"), hello())).content).toBe("Hello.");
    });
  });

  it("that is missed is looked for, and tells when it is back; until then no load waits for it", async () => {
    const server = await start(plain);
    const load = engineOf(server.baseUrl, null, { returnLimitMs: 100, returnWatchMs: 1 });
    await (await load("llama-8b")).unload();
    await server.stop();
    const first = await failure(load("llama-8b"));
    const askedAt = performance.now();
    const second = await failure(load("llama-8b"));
    expect(performance.now() - askedAt).toBeLessThan(100);
    let isBack = false;
    const back = Promise.all([first.over, second.over]).then(() => (isBack = true));
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(isBack).toBe(false);
    await start(plain, server.port);
    await back;
    expect((await ask(await load("llama-8b"), hello())).content).toBe("Hello.");
  });

  it("that was there is waited for only so long, since its clients could be served elsewhere", async () => {
    const server = await start(plain);
    const load = engineOf(server.baseUrl, null, { returnLimitMs: 0 });
    await (await load("llama-8b")).unload();
    await server.stop();
    const error = await failure(load("llama-8b"));
    expect(error).toMatchObject({
      class: "fault",
      code: "load_failed",
      message: "the model server has gone",
    });
    await start(plain, server.port);
    expect((await ask(await load("llama-8b"), hello())).content).toBe("Hello.");
  });

  it("serves one model and no other, since nobody can tell it to change", async () => {
    const server = await start(plain);
    const load = engineOf(server.baseUrl);
    await (await load("llama-8b")).unload();
    const error = await failure(load("gemma"));
    expect(error).toMatchObject({ class: "fault", code: "load_failed" });
    expect(error.message).toContain("--server-command");
    await load("llama-8b");
  });
});

describe("Ollama", () => {
  interface Oddities {
    readonly context?: number;
    readonly embeddingOnly?: string;
    readonly loadsSlowly?: boolean;
    readonly chatsWith?: Reply;
    readonly unloadsWith?: Reply;
  }

  /** As its API is documented: an empty prompt loads a model, or lets go of it. */
  async function ollamaWith(
    pulled: readonly string[],
    { context = 4096, embeddingOnly = "", loadsSlowly = false, chatsWith, unloadsWith }: Oddities = {},
  ) {
    const held = new Set<string>();
    const tagged = (name: unknown): string =>
      String(name).includes(":") ? String(name) : `${String(name)}:latest`;
    const server = await start((asked) => {
      const { path, body } = asked;
      const name = tagged(body["model"]);
      if (path === "/api/ps")
        return { body: { models: [...held].map((one) => ({ name: one, context_length: context })) } };
      if (path === "/api/generate" || path === "/api/embed") {
        if (!pulled.includes(name)) return { status: 404, body: { error: `model "${name}" not found` } };
        if (path === "/api/generate" && name === embeddingOnly)
          return { status: 400, body: { error: `"${name}" does not support generate` } };
        if (body["keep_alive"] === 0 && unloadsWith !== undefined) return unloadsWith;
        if (body["keep_alive"] === 0) held.delete(name);
        else held.add(name);
        if (loadsSlowly && held.has(name)) return new Promise(() => undefined);
        return { body: { model: name, response: "", done: true } };
      }
      if (path === "/v1/embeddings")
        return { body: { data: [{ index: 0, embedding: [1] }], usage: { prompt_tokens: 1 } } };
      if (path === CHAT && chatsWith !== undefined) return chatsWith;
      if (path === CHAT && name === embeddingOnly)
        return { status: 400, body: { error: { message: "does not support chat" } } };
      return plain(asked);
    });
    return { server, held };
  }

  it("holds the model that it is told to, and no other, for as long as it is told to", async () => {
    const { server, held } = await ollamaWith(["llama3.2:latest", "gemma3:4b"]);
    held.add("gemma3:4b");
    const load = engineOf(server.baseUrl);
    const loaded = await load("llama3.2");
    expect([...held]).toEqual(["llama3.2:latest"]);
    expect(loaded.contextTokens).toBe(4096);
    await loaded.unload();
    expect([...held]).toEqual([]);
    await load("gemma3:4b");
    expect([...held]).toEqual(["gemma3:4b"]);
  });

  it("is told after requests to keep it, which it would do for five minutes only", async () => {
    const { server } = await ollamaWith(["llama3.2:latest"]);
    const loaded = await engineOf(server.baseUrl)("llama3.2");
    const before = server.bodiesAt("/api/generate").length;
    await ask(loaded, hello());
    await expect
      .poll(() => server.bodiesAt("/api/generate").slice(before))
      .toEqual([{ model: "llama3.2", keep_alive: -1, stream: false }]);
  });

  it("that has trouble is not taken for a server that cannot be told to change", async () => {
    const { server, held } = await ollamaWith(["llama3.2:latest", "gemma3:4b"]);
    const load = engineOf(server.baseUrl);
    await (await load("llama3.2")).unload();
    server.trouble = { status: 500, body: {} };
    expect(await failure(load("gemma3:4b"))).toMatchObject({ class: "fault", code: "load_failed" });
    server.trouble = null;
    await load("gemma3:4b");
    expect([...held]).toEqual(["gemma3:4b"]);
  });

  it("is told to let go of a model whose load is given up, which it would finish and keep for ever", async () => {
    const { server, held } = await ollamaWith(["llama3.2:latest"], { loadsSlowly: true });
    const abort = new AbortController();
    const loading = engineOf(server.baseUrl)("llama3.2", abort.signal);
    await expect.poll(() => [...held]).toEqual(["llama3.2:latest"]);
    const reason = new Error("another model is wanted");
    abort.abort(reason);
    await expect(loading).rejects.toBe(reason);
    expect([...held]).toEqual([]);
    expect(logged).toEqual([]);
  });

  it("that says why it cannot load a model says it in this machine's log, and not to the coordinator", async () => {
    const why = "model requires more system memory than is available: /Users/me/.ollama/models/blobs/x";
    const answers: Answers = ({ path }) => {
      if (path === "/api/ps") return { body: { models: [] } };
      return path === "/api/generate" ? { status: 500, body: { error: why } } : { body: {} };
    };
    const server = await start(answers);
    const error = await failure(engineOf(server.baseUrl)("llama3.2"));
    expect(error).toMatchObject({ class: "fault", code: "server_failed" });
    expect(error.message).not.toContain("/Users/me");
    expect(logged).toEqual([`model server: ${why}`]);
  });

  it("that loads a model which then answers nothing is told to let go of it, and the first trouble is the one reported", async () => {
    const { server, held } = await ollamaWith(["llama3.2:latest"], { chatsWith: { status: 500, body: {} } });
    const error = await failure(engineOf(server.baseUrl)("llama3.2"));
    expect(error.message).toContain("status 500");
    expect([...held]).toEqual([]);
    const stubborn = await ollamaWith(["llama3.2:latest"], {
      chatsWith: { status: 500, body: {} },
      unloadsWith: { status: 418, body: {} },
    });
    const other = await failure(engineOf(stubborn.server.baseUrl)("llama3.2"));
    expect(other.message).toContain("status 500");
    expect(logged).toEqual([expect.stringContaining("status 418")]);
  });

  it("that has gone has let go of the model, so that there is nothing to unload", async () => {
    const { server } = await ollamaWith(["llama3.2:latest"]);
    const loaded = await engineOf(server.baseUrl, null, { watchMs: 1 })("llama3.2");
    await server.stop();
    await loaded.died;
    await loaded.unload();
  });

  it("loads models that only make vectors", async () => {
    const { server, held } = await ollamaWith(["nomic:latest"], { embeddingOnly: "nomic:latest" });
    const loaded = await engineOf(server.baseUrl)("nomic");
    expect([...held]).toEqual(["nomic:latest"]);
    expect((await embed(loaded, { input: "x" })).vectors).toEqual([[1]]);
    await loaded.unload();
    expect([...held]).toEqual([]);
  });

  it("without the model says how to get it", async () => {
    const { server } = await ollamaWith([]);
    const error = await failure(engineOf(server.baseUrl)("llama3.2"));
    expect(error).toMatchObject({ class: "fault", code: "load_failed" });
    expect(error.message).toContain("ollama pull llama3.2");
  });

  it("with less room than this machine promises is not used, since it would cut prompts without a word", async () => {
    const { server, held } = await ollamaWith(["llama3.2:latest"], { context: 2048 });
    const error = await failure(engineOf(server.baseUrl)("llama3.2"));
    expect(error).toMatchObject({ class: "fault", code: "load_failed" });
    expect(error.message).toContain("OLLAMA_CONTEXT_LENGTH=4096");
    expect([...held]).toEqual([]);
  });

  it("is used with the room that it has where the owner has promised none", async () => {
    const { server } = await ollamaWith(["llama3.2:latest"], { context: 2048 });
    expect((await looseEngineOf(server.baseUrl)("llama3.2")).contextTokens).toBe(2048);
  });
});

describe("LM Studio", () => {
  interface Instance {
    readonly id: string;
    readonly key: string;
    /** Null if it does not say. */
    readonly context: number | null;
  }

  async function studioWith(keys: readonly string[], instances: Instance[] = [], trainedFor = 32_768) {
    const server = await start((asked) => {
      const { path, body } = asked;
      switch (path) {
        case "/api/v1/models":
          return {
            body: {
              models: keys.map((key) => ({
                key,
                max_context_length: trainedFor,
                loaded_instances: instances
                  .filter((one) => one.key === key)
                  .map(({ id, context }) => ({
                    id,
                    config: context === null ? {} : { context_length: context },
                  })),
              })),
            },
          };
        case "/api/v1/models/load": {
          const key = String(body["model"]);
          const id = `${key}:2`;
          instances.push({ id, key, context: Number(body["context_length"] ?? 16_384) });
          return { body: { type: "llm", instance_id: id, status: "loaded" } };
        }
        case "/api/v1/models/unload": {
          const at = instances.findIndex(({ id }) => id === body["instance_id"]);
          if (at < 0) return { status: 404, body: { error: { message: "no such instance" } } };
          instances.splice(at, 1);
          return { body: { instance_id: body["instance_id"] } };
        }
        default:
          return plain(asked);
      }
    });
    return { server, instances };
  }

  it("loads the model with the context that is wanted, and lets go of all others", async () => {
    const { server, instances } = await studioWith(
      ["qwen", "gemma"],
      [{ id: "gemma", key: "gemma", context: 8192 }],
    );
    const loaded = await engineOf(server.baseUrl)("qwen");
    expect(instances).toEqual([{ id: "qwen:2", key: "qwen", context: 4096 }]);
    await ask(loaded, hello());
    expect(server.bodiesAt(CHAT).at(-1)).toMatchObject({ model: "qwen:2" });
    await loaded.unload();
    expect(instances).toEqual([]);
  });

  it("goes on with an instance that is there and large enough", async () => {
    const { server, instances } = await studioWith(
      ["qwen"],
      [
        { id: "qwen", key: "qwen", context: 1024 },
        { id: "qwen:7", key: "qwen", context: 8192 },
      ],
    );
    const loaded = await engineOf(server.baseUrl)("qwen");
    expect(instances.map(({ id }) => id)).toEqual(["qwen:7"]);
    expect(loaded.contextTokens).toBe(4096);
    expect(server.bodiesAt("/api/v1/models/load")).toEqual([]);
  });

  it("chooses the context where the owner has not", async () => {
    const { server, instances } = await studioWith(["qwen"]);
    const loaded = await looseEngineOf(server.baseUrl)("qwen");
    expect(server.bodiesAt("/api/v1/models/load")).toEqual([{ model: "qwen" }]);
    expect(instances).toEqual([{ id: "qwen:2", key: "qwen", context: 16_384 }]);
    expect(loaded.contextTokens).toBe(16_384);
  });

  it("goes on with whatever instance is there where the owner has chosen no context", async () => {
    const { server, instances } = await studioWith(["qwen"], [{ id: "qwen", key: "qwen", context: 1024 }]);
    expect((await looseEngineOf(server.baseUrl)("qwen")).contextTokens).toBe(1024);
    expect(instances.map(({ id }) => id)).toEqual(["qwen"]);
  });

  it("is asked for no more context than the model was trained for", async () => {
    const { server, instances } = await studioWith(["qwen"], [], 2048);
    const loaded = await engineOf(server.baseUrl)("qwen");
    expect(instances).toEqual([{ id: "qwen:2", key: "qwen", context: 2048 }]);
    expect(loaded.contextTokens).toBe(2048);
  });

  it("that does not say what fits into an instance is LM Studio all the same", async () => {
    const { server, instances } = await studioWith(
      ["qwen", "nomic"],
      [
        { id: "qwen", key: "qwen", context: 8192 },
        { id: "nomic", key: "nomic", context: null },
      ],
    );
    const loaded = await engineOf(server.baseUrl)("nomic");
    expect(instances.map(({ id }) => id)).toEqual(["nomic"]);
    expect(loaded.contextTokens).toBe(4096);
  });

  it("that refuses a load says why in this machine's log alone", async () => {
    const server = await start(({ path, body }) =>
      path === "/api/v1/models/load"
        ? { status: 400, body: { error: { message: "cannot read /Users/me/qwen.gguf" } } }
        : path === "/api/v1/models"
          ? { body: { models: [{ key: "qwen", loaded_instances: [] }] } }
          : plain({ path, body, authorization: undefined }),
    );
    const error = await failure(engineOf(server.baseUrl)("qwen"));
    expect(error).toMatchObject({ class: "fault", code: "load_failed" });
    expect(error.message).not.toContain("/Users/me");
    expect(logged).toEqual(["model server: cannot read /Users/me/qwen.gguf"]);
  });

  it("that answers a load with no JSON is not quoted", async () => {
    const server = await start((asked) =>
      asked.path === "/api/v1/models"
        ? { body: { models: [{ key: "qwen", loaded_instances: [] }] } }
        : { body: "loading /Users/me/qwen" },
    );
    const error = await failure(engineOf(server.baseUrl)("qwen"));
    expect(error).toMatchObject({
      class: "fault",
      code: "load_failed",
      message: "LM Studio does not say what it has loaded",
    });
  });

  it("without the model says where its names are", async () => {
    const { server } = await studioWith(["qwen"]);
    const error = await failure(engineOf(server.baseUrl)("gemma"));
    expect(error).toMatchObject({ class: "fault", code: "load_failed" });
    expect(error.message).toContain("lms ls");
  });
});
