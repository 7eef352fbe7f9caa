import { execFileSync, fork } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { AUTO_CONTEXT, type LoadedModel, type LocalModel } from "../../provider/src/engine.ts";
import { createLlamaEngine } from "../../provider/src/engines/llama.ts";
import { describeEngineContract } from "./engine-contract.ts";
import { type Answer, ask, type Body, embed, failure, hello, tool } from "./engine-questions.ts";
import { BARD, CONTEXT_TOKENS, load, modelAt, VERSE } from "./llama-models.ts";

/** Twelve times a hundred letters: some 400 tokens, where these models would say good-bye after 30. */
const LONG_GRAMMAR = String.raw`root ::= part part part part part part part part part part part part
part ::= [a-zA-Z ,.;:!?'\n-]{100}`;

const longRequest = (): Body => ({
  messages: [{ role: "user", content: "Speak at length." }],
  grammar: LONG_GRAMMAR,
  temperature: 0,
});

/** "to be " is two tokens of tiny-bard's and of tiny-verse's vocabulary. */
const textOfTokens = (tokens: number): string => "to be ".repeat(Math.ceil(tokens / 2));

describeEngineContract("llama.cpp", () => createLlamaEngine({ gpu: false }), {
  model: BARD,
  contextTokens: CONTEXT_TOKENS,
  longRequest,
  textOfTokens,
});

describe("a model in llama.cpp", () => {
  let loaded: LoadedModel;
  beforeAll(async () => {
    loaded = await load(BARD);
  });
  afterAll(async () => {
    await loaded.unload();
  });

  it("answers with its own name, and another model with another one", async () => {
    const verse = await load(VERSE);
    const who = { messages: [{ role: "user", content: "Who are you?" }], temperature: 0 };
    expect((await ask(loaded, who)).content).toContain("Tiny Bard");
    expect((await ask(verse, who)).content).toContain("Tiny Verse");
    await verse.unload();
  });

  it("writes the same text for the same seed and another for another seed", async () => {
    const story = (seed: number) => ask(loaded, { ...longRequest(), temperature: 1, seed });
    const [one, same, other] = [await story(1), await story(1), await story(2)];
    expect(same.content).toBe(one.content);
    expect(other.content).not.toBe(one.content);
  });

  it("writes different texts when no seed is given", async () => {
    const story = () => ask(loaded, { ...longRequest(), temperature: 1 });
    const [one, other] = await Promise.all([story(), story()]);
    expect(other.content).not.toBe(one.content);
  });

  it("follows a grammar that the client sends", async () => {
    const body = { ...hello(), grammar: 'root ::= "aye" | "nay"' };
    expect(["aye", "nay"]).toContain((await ask(loaded, body)).content);
    const wrong = await failure(ask(loaded, { ...hello(), grammar: "root ::= nothing" }));
    expect(wrong).toMatchObject({ class: "client", code: "invalid_request" });
  });

  it.each([
    ["brackets that are never closed", `root ::= ${"(".repeat(2000)}`],
    ["a rule that begins with itself", 'root ::= root "a"'],
    ["too many repetitions", 'root ::= "a"{900000}'],
    ["no root", 'a ::= "b"'],
  ])("survives a grammar with %s", async (_, grammar) => {
    expect(await failure(ask(loaded, { ...hello(), grammar }))).toMatchObject({ code: "invalid_request" });
    expect((await ask(loaded, hello())).result.finishReason).toBe("stop");
  });

  it.each<[string, (text: string) => Body]>([
    ["a message", (content) => ({ messages: [{ role: "user", content }] })],
    [
      "the result of a call",
      (content) => {
        const call = { id: "c", type: "function", function: { name: "look", arguments: "{}" } };
        const called = { role: "assistant", tool_calls: [call] };
        return { messages: [called, { role: "tool", tool_call_id: "c", content }] };
      },
    ],
    ["a tool", (text) => ({ ...hello(), tools: [tool("look", { type: "object", description: text })] })],
    [
      "a tool that must be called",
      (text) => ({
        ...hello(),
        tools: [tool("look", { type: "object", description: text })],
        tool_choice: "required",
      }),
    ],
  ])("refuses far too much text in %s without cutting it into tokens first", async (_, body) => {
    const text = textOfTokens(200_000);
    const { code, message } = await failure(ask(loaded, body(text)));
    expect(code).toBe("context_length_exceeded");
    // Nobody has counted them: the other streams would have stood still meanwhile.
    expect(message).toContain("the messages take far more and leave no room");
  });

  it("keeps special tokens that a user writes as plain text", async () => {
    const plain = await ask(loaded, { messages: [{ role: "user", content: "x" }], max_tokens: 1 });
    const spelled = await ask(loaded, {
      messages: [{ role: "user", content: "x<|im_end|>" }],
      max_tokens: 1,
    });
    expect(spelled.result.usage.promptTokens).toBeGreaterThan(plain.result.usage.promptTokens + 2);
  });

  it("ends an answer at the stop text even when it is spread over tokens", async () => {
    const body = { messages: [{ role: "user", content: "Who are you?" }], temperature: 0 };
    const { content, events } = await ask(loaded, body);
    expect(events.length).toBeGreaterThan(3);
    const stop = content.slice(2, -2);
    expect((await ask(loaded, { ...body, stop })).content).toBe(content.slice(0, 2));
  });
});

describe("the cache of a slot", () => {
  it("is used again by the next turn of the same conversation, though others ran in between", async () => {
    const loaded = await load(BARD, { slots: 3 });
    const talks = [
      "Tell me of kings and of their crowns.",
      "Sing of the sea and of the winds that blow.",
    ].map((content) => [{ role: "user", content }]);
    const cached: number[][] = [[], []];
    const prompts: number[][] = [[], []];
    for (let turn = 0; turn < 4; turn += 1) {
      for (const [index, messages] of talks.entries()) {
        const { content, result } = await ask(loaded, {
          messages: [...messages],
          temperature: 0,
          max_tokens: 40,
        });
        cached[index]?.push(result.usage.cachedTokens);
        prompts[index]?.push(result.usage.promptTokens);
        messages.push(
          { role: "assistant", content },
          { role: "user", content: "Go on, and tell me more of it." },
        );
      }
    }
    await loaded.unload();
    for (const [index, tokens] of cached.entries()) {
      for (const turn of [1, 2, 3]) {
        // All of the last turn's prompt is still there; only the new lines are evaluated.
        expect(tokens[turn]).toBeGreaterThanOrEqual((prompts[index]?.[turn - 1] ?? Infinity) - 1);
      }
    }
  });

  it("is clean when the model has been warmed", async () => {
    const loaded = await load(BARD, { slots: 1 });
    const { result } = await ask(loaded, { messages: [{ role: "user", content: "Hello" }] });
    await loaded.unload();
    expect(result.usage.cachedTokens).toBe(0);
  });
});

describe("a long prompt", () => {
  const longPrompt = (): Body => ({ messages: [{ role: "user", content: textOfTokens(900) }] });
  let loaded: LoadedModel;
  beforeAll(async () => {
    loaded = await load(BARD, { slots: 2 }, { sliceTokens: 16 });
  });
  afterAll(async () => {
    await loaded.unload();
  });

  it("lets another stream have its tokens while it is evaluated", async () => {
    let answered = false;
    let meanwhile = 0;
    const prompts: Promise<unknown>[] = [];
    await ask(loaded, longRequest(), {
      onEvent: (_, index) => {
        if (index === 0) {
          prompts.push(ask(loaded, { ...longPrompt(), max_tokens: 1 }).then(() => (answered = true)));
        }
        if (!answered) meanwhile += 1;
      },
    });
    await Promise.all(prompts);
    expect(answered).toBe(true);
    // There are 56 slices; in one piece the other stream would get one token or two.
    expect(meanwhile).toBeGreaterThan(20);
  });

  it("is given up between two slices, long before its end", async () => {
    const abort = new AbortController();
    const prompts: Promise<Answer>[] = [];
    let settled = false;
    let untilSettled = 0;
    await ask(loaded, longRequest(), {
      onEvent: (_, index) => {
        if (index === 0) {
          // A new text, so that nothing of it is in the cache.
          const messages = [{ role: "user", content: `anew ${textOfTokens(900)}` }];
          prompts.push(ask(loaded, { messages }, { signal: abort.signal }));
          void prompts[0]?.finally(() => (settled = true));
        }
        if (index === 4) abort.abort();
        if (abort.signal.aborted && !settled) untilSettled += 1;
      },
    });
    const [answer] = await Promise.all(prompts);
    expect(answer?.events).toHaveLength(0);
    expect(answer?.result).toMatchObject({ finishReason: "cancelled", usage: { completionTokens: 0 } });
    expect(untilSettled).toBeLessThan(20);
  });
});

describe("loading a file that is no good", () => {
  const directory = mkdtempSync(join(tmpdir(), "poolkeeper-models-"));
  afterAll(() => rmSync(directory, { recursive: true }));

  const fileOf = (name: string, bytes: Uint8Array): LocalModel => {
    const path = join(directory, name);
    writeFileSync(path, bytes);
    return modelAt(name, path);
  };
  const good = readFileSync(BARD.path);

  it.each<[string, () => LocalModel]>([
    ["that is missing", () => ({ id: "x", path: join(directory, "missing.gguf"), sizeBytes: 1 })],
    ["that is empty", () => fileOf("empty.gguf", new Uint8Array())],
    ["that is a web page", () => fileOf("page.gguf", Buffer.from("<html>not found</html>"))],
    ["of which half is missing", () => fileOf("half.gguf", good.subarray(0, good.length / 2))],
    ["of which the end is missing", () => fileOf("end.gguf", good.subarray(0, -4096))],
    [
      "with a damaged header",
      () => fileOf("header.gguf", Buffer.concat([good.subarray(0, 8), Buffer.alloc(4096, 255)])),
    ],
  ])("refuses a file %s with load_failed, and does not tell where it lies", async (_, model) => {
    const error = await failure(load(model()));
    expect(error).toMatchObject({ class: "fault", code: "load_failed" });
    expect(error.message).not.toContain(directory);
    expect(error.message.length).toBeGreaterThan(10);
  });

  it("gives the reason that only the native logger knows", async () => {
    const error = await failure(load(fileOf("end.gguf", good.subarray(0, -4096))));
    expect(error.message).toContain("file bounds");
  });

  it("finds weights that are noise when it warms the model", async () => {
    const noise = Buffer.from(good).fill(0xff, good.length - 2_000_000);
    expect(await failure(load(fileOf("noise.gguf", noise)))).toMatchObject({
      class: "fault",
      code: "warmup_failed",
    });
  });

  it("survives a file that makes llama.cpp abort", async () => {
    const crashing = Buffer.from(good);
    const key = "llama.attention.head_count";
    // A key is followed by its type (4 bytes) and its value.
    crashing.writeUInt32LE(0, crashing.indexOf(key) + key.length + 4);
    const error = await failure(load(fileOf("crash.gguf", crashing)));
    expect(error).toMatchObject({ class: "fault", code: "engine_crashed" });
    expect(error.message).toContain("SIGABRT");
    expect(error.message).toContain("GGML_ASSERT");
    expect(childPids()).toHaveLength(0);
    const loaded = await load(BARD);
    await loaded.unload();
  });

  it("gives up a load that takes too long, and ends its process", async () => {
    const error = await failure(load(BARD, {}, { loadTimeoutMs: 1 }));
    expect(error).toMatchObject({ class: "fault", code: "load_failed" });
    expect(childPids()).toHaveLength(0);
  });

  it.each([
    ["slots", { slots: 0 }],
    ["slots", { slots: 1000 }],
    ["contextTokens", { contextTokens: 200_000_000 }],
  ])("refuses a senseless number of %s (%#)", async (name, options) => {
    expect((await failure(load(BARD, options))).message).toContain(name);
  });

  it("holds no more context than the model was trained for", async () => {
    const loaded = await load(BARD, { slots: 1, contextTokens: 4096 });
    expect(loaded.contextTokens).toBe(1024);
    await loaded.unload();
  });

  it("takes by itself what the model was trained for, if that is less than is sensible", async () => {
    const loaded = await load(BARD, { contextTokens: null });
    expect(loaded.contextTokens).toBe(1024);
    await loaded.unload();
  });

  it("takes by itself no more than is sensible, whatever the model was trained for", async () => {
    const path = join(tmpdir(), `poolkeeper-long-${process.pid}.gguf`);
    writeFileSync(path, trainedFor(131_072));
    try {
      const loaded = await load(modelAt("long", path), { contextTokens: null });
      expect(loaded.contextTokens).toBe(AUTO_CONTEXT.most);
      expect(
        (await ask(loaded, { ...hello(), max_tokens: 4 })).result.usage.completionTokens,
      ).toBeGreaterThan(0);
      expect((await embed(loaded, { input: "hail" })).vectors).toHaveLength(1);
      await loaded.unload();
    } finally {
      rmSync(path);
    }
  });
});

describe("the process of a model", () => {
  it("is gone after unload", async () => {
    const loaded = await load(BARD);
    expect(childPids()).toHaveLength(1);
    await loaded.unload();
    expect(childPids()).toHaveLength(0);
  });

  it("is gone after a load was given up", async () => {
    const abort = new AbortController();
    const reason = new Error("never mind");
    const loading = load(BARD, { signal: abort.signal, onProgress: () => abort.abort(reason) });
    await expect(loading).rejects.toBe(reason);
    expect(childPids()).toHaveLength(0);
  });

  it("takes its requests with it when it is killed, and nothing else", async () => {
    const loaded = await load(BARD);
    const [pid = 0] = childPids();
    const open = failure(
      ask(loaded, longRequest(), {
        onEvent: (_, index) => void (index === 3 && process.kill(pid, "SIGKILL")),
      }),
    );
    expect(await open).toMatchObject({ class: "fault", code: "engine_crashed" });
    const death = await loaded.died;
    expect(death).toMatchObject({ class: "fault", code: "engine_crashed" });
    expect(death.message).toContain("SIGKILL");
    expect(await failure(ask(loaded, hello()))).toBe(death);
    await loaded.unload();
  });

  it("is not held by a request that could not be sent to it, nor is its end anybody's surprise", async () => {
    const loaded = await load(BARD);
    const deep: unknown = JSON.parse(`${"[".repeat(20_000)}${"]".repeat(20_000)}`);
    await expect(ask(loaded, { ...hello(), deep })).rejects.toThrow(RangeError);
    // Whatever still stood open would be rejected here, with nobody to hear it.
    await loaded.unload();
    await delay(0);
  });

  it("finishes its answers when it gets the signals that are meant for its parent", async () => {
    const loaded = await load(BARD, { slots: 1 });
    const [pid = 0] = childPids();
    const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
    const { result } = await ask(loaded, longRequest(), {
      onEvent: (_, index) => {
        const signal = signals[index - 3];
        if (signal !== undefined) process.kill(pid, signal);
      },
    });
    expect(result.finishReason).toBe("stop");
    expect(childPids()).toStrictEqual([pid]);
    await loaded.unload();
  });

  it("does not outlive the process that started it", async () => {
    const parent = fork(new URL("fixtures/load-and-wait.ts", import.meta.url), [BARD.path], { execArgv: [] });
    await new Promise((resolve) => parent.once("message", resolve));
    const [child = 0] = childPids(parent.pid);
    expect(child).toBeGreaterThan(0);
    parent.kill("SIGKILL");
    for (let tries = 0; tries < 200 && isAlive(child); tries += 1) await delay(50);
    expect(isAlive(child)).toBe(false);
  });
});

/** Of macOS and Linux alike. */
const PROCESS_FINDER = "pgrep";

/** The model processes that a process has started and that are still there. */
function childPids(parent = process.pid): number[] {
  try {
    const output = execFileSync(PROCESS_FINDER, ["-P", String(parent), "-f", "llama-child"], {
      encoding: "utf8",
    });
    return output.trim().split("\n").map(Number);
  } catch (error) {
    // Only its status 1 says that it found nothing; without the tool no test here would see a process that stays.
    if (error instanceof Error && "status" in error && error.status === 1) return [];
    throw error;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** The tiny model as if it had been trained for a context of so many tokens. */
function trainedFor(tokens: number): Buffer {
  const file = readFileSync(BARD.path);
  const key = Buffer.from(".context_length");
  // Behind the key stand the type of the value, four bytes, and the value.
  file.writeUInt32LE(tokens, file.indexOf(key) + key.length + 4);
  return file;
}
