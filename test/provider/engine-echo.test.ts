import { describe, expect, it } from "vitest";

import { EngineError, type LoadedModel } from "../../provider/src/engine.ts";
import { createEchoEngine, type EchoEngineOptions } from "../../provider/src/engines/echo.ts";
import { describeEngineContract } from "./engine-contract.ts";
import { ask, failure, hello } from "./engine-questions.ts";

const model = { id: "echo", path: "/nowhere/echo.gguf", sizeBytes: 0 };
const text = (count: number): string => Array.from({ length: count }, (_, index) => `word${index}`).join(" ");

describeEngineContract("the echo engine", () => createEchoEngine({ tokensPerSecond: Infinity }), {
  model,
  contextTokens: 1024,
  longRequest: () => ({ messages: [{ role: "user", content: text(120) }] }),
  textOfTokens: text,
});

describe("the echo engine", () => {
  const load = async (options: EchoEngineOptions = {}): Promise<LoadedModel> =>
    createEchoEngine({ tokensPerSecond: Infinity, ...options }).load(model, {
      slots: 1,
      contextTokens: 512,
      signal: new AbortController().signal,
    });

  it("repeats the last thing the user said, with its blanks", async () => {
    const said = "  To be,\nor  not to be ";
    const messages = [
      { role: "user", content: "first" },
      { role: "assistant", content: "answer" },
      { role: "user", content: said },
    ];
    const { content, events } = await ask(await load(), { messages });
    expect(content).toBe(said);
    expect(events).toHaveLength(7);
  });

  it("takes its time from the clock it was given", async () => {
    const waited: number[] = [];
    const clock = {
      now: () => waited.reduce((sum, ms) => sum + ms, 0),
      after(delayMs: number, run: () => void) {
        waited.push(delayMs);
        queueMicrotask(run);
        return () => undefined;
      },
    };
    const loaded = await load({ clock, loadMs: 400, prefillMs: 30, tokensPerSecond: 10 });
    expect(waited).toStrictEqual([100, 100, 100, 100]);
    const { result } = await ask(loaded, { messages: [{ role: "user", content: "one two three" }] });
    expect(waited.slice(4)).toStrictEqual([30, 100, 100, 100]);
    expect(result).toMatchObject({ prefillMs: 30, decodeMs: 200 });
  });

  it("fails a load when it is told to", async () => {
    const error = new EngineError("capacity", "insufficient_memory", "too large");
    expect(await failure(load({ failLoad: () => error }))).toBe(error);
  });

  it("fails in the middle of an answer when it is told to", async () => {
    const error = new EngineError("fault", "broken", "as asked");
    const loaded = await load({ failRun: (_, written) => (written === 2 ? error : null) });
    let emitted = 0;
    const run = ask(loaded, hello(), { onEvent: () => void (emitted += 1) });
    expect(await failure(run)).toBe(error);
    expect(emitted).toBe(2);
  });

  it("dies when it is told to, and its open requests with it", async () => {
    const engine = createEchoEngine();
    const loaded = await engine.load(model, {
      slots: 2,
      contextTokens: 512,
      signal: new AbortController().signal,
    });
    const open = failure(ask(loaded, hello()));
    engine.crash();
    expect(await loaded.died).toMatchObject({ class: "fault", code: "engine_crashed" });
    expect(await open).toMatchObject({ class: "fault", code: "engine_crashed" });
    expect(await failure(ask(loaded, hello()))).toMatchObject({ code: "engine_crashed" });
  });
});
