import { expect, it } from "vitest";

import { modelIdSchema } from "../../protocol/ids.ts";
import { Speeds } from "../../provider/src/agent/speeds.ts";
import type { RunResult } from "../../provider/src/engine.ts";

const alpha = modelIdSchema.parse("alpha");

function answer(fields: Partial<RunResult["usage"]> & { prefillMs?: number; decodeMs?: number }): RunResult {
  const { prefillMs = 1000, decodeMs = 1000, ...usage } = fields;
  return {
    finishReason: "stop",
    usage: { promptTokens: 600, completionTokens: 51, cachedTokens: 100, ...usage },
    prefillMs,
    decodeMs,
  };
}

it("knows nothing before the first answer", () => {
  expect(new Speeds().of(alpha)).toEqual({});
});

it("leaves out the first token, which the prompt brings, and the prompt's cached part", () => {
  const speeds = new Speeds();
  speeds.note(alpha, answer({}));
  expect(speeds.of(alpha)).toEqual({ decode_tps: 50, prefill_tps: 500 });
  expect(speeds.of(modelIdSchema.parse("beta"))).toEqual({});
});

it("takes the median of the last answers", () => {
  const speeds = new Speeds();
  for (let i = 0; i < 20; i++) speeds.note(alpha, answer({ decodeMs: 5000 }));
  for (let i = 0; i < 10; i++) speeds.note(alpha, answer({ decodeMs: 500 }));
  speeds.note(alpha, answer({ decodeMs: 1 }));
  expect(speeds.of(alpha).decode_tps).toBe(100);
});

it.each([
  ["too short to be measured", { promptTokens: 101, completionTokens: 3 }],
  ["that is made of vectors, whose texts were read one by one", { completionTokens: 0 }],
  ["that took no time", { prefillMs: 0, decodeMs: 0 }],
  ["with timings that are no numbers", { prefillMs: Number.NaN, decodeMs: Number.POSITIVE_INFINITY }],
])("ignores an answer %s", (_, fields) => {
  const speeds = new Speeds();
  speeds.note(alpha, answer(fields));
  expect(speeds.of(alpha)).toEqual({});
});
