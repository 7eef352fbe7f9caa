import { expect, it } from "vitest";

import { decodeUpstream, encodeUpstream } from "../../protocol/codec.ts";
import type { InferenceRequest } from "../../protocol/downstream.ts";
import { modelIdSchema } from "../../protocol/ids.ts";
import {
  inferenceComplete,
  inferenceError,
  failureOfLoad,
  failureOfRun,
  failureOfRunning,
  failureOfUnread,
  failureOfWaiting,
  type Ending,
} from "../../provider/src/agent/final-message.ts";
import { EngineError, type EngineErrorClass } from "../../provider/src/engine.ts";

const REQUEST: InferenceRequest = {
  type: "inference_request",
  request_id: "r-1",
  stream: 7,
  endpoint: "chat.completions",
  model_id: modelIdSchema.parse("alpha"),
  deadline_ms: 1000,
  owner_bypass: false,
  body: {},
};

const CLASSES: readonly EngineErrorClass[] = ["client", "capacity", "fault"];
const ENDINGS: readonly Ending[] = ["cancelled", "deadline", "switching", "socket_lost"];

it("[D3] words no failure of an accepted request as a refusal, but for the end of a drain", () => {
  const classes = CLASSES.map((each) => failureOfRun(new EngineError(each, "odd", "it broke")).class);
  expect(classes).toEqual(["client", "fault", "fault"]);
  const refused = ENDINGS.filter((ending) => failureOfRunning(ending)?.class === "capacity");
  expect(refused).toEqual(["switching"]);
  expect(failureOfRunning(null)).toMatchObject({ class: "fault", code: "engine_stopped" });
});

it("blames the machine for no request that it has not accepted, unless its model cannot be loaded", () => {
  expect(ENDINGS.map((ending) => failureOfWaiting(ending)?.class)).toEqual([
    "cancelled",
    "capacity",
    "capacity",
    undefined,
  ]);
  const load = (errorClass: EngineErrorClass, code: string) =>
    failureOfLoad(new EngineError(errorClass, code, "it broke"));
  expect(load("fault", "insufficient_memory")).toMatchObject({
    class: "capacity",
    code: "insufficient_memory",
  });
  expect(load("capacity", "superseded")).toMatchObject({ class: "capacity", code: "switching_model" });
  expect(load("fault", "load_failed")).toMatchObject({ class: "fault", code: "load_failed" });
});

it("blames nobody for an answer that was not read in time, and tells nobody whose socket is gone", () => {
  expect(ENDINGS.map((ending) => failureOfUnread(ending)?.code ?? null)).toEqual([
    "cancelled",
    "deadline_exceeded",
    "cancelled",
    null,
  ]);
});

it("says something that the pool can read, whatever the engine came up with", () => {
  const usage = { promptTokens: Number.NaN, completionTokens: -1, cachedTokens: 2.4 };
  const result = {
    finishReason: "stop",
    usage,
    prefillMs: Number.POSITIVE_INFINITY,
    decodeMs: 1.23,
  } as const;
  const complete = inferenceComplete(REQUEST, result, 0);
  expect(complete).toMatchObject({
    usage: { prompt_tokens: 0, completion_tokens: 0, cached_tokens: 2 },
    timings: { queue_ms: 0, prefill_ms: 0, decode_ms: 1.2 },
  });
  const error = inferenceError(REQUEST, {
    class: "fault",
    code: "engine_error",
    message: "x".repeat(100_000),
  });
  for (const message of [complete, error]) {
    expect(decodeUpstream(encodeUpstream(message))).toEqual({ ok: true, value: message });
  }
});

it("counts nothing rather than what no pool would believe", () => {
  const usage = { promptTokens: 0xffff_ffff, completionTokens: 7, cachedTokens: Number.NEGATIVE_INFINITY };
  const complete = inferenceComplete(
    REQUEST,
    { finishReason: "stop", usage, prefillMs: 1e13, decodeMs: 1 },
    0,
  );
  expect(complete).toMatchObject({
    usage: { prompt_tokens: 0, completion_tokens: 7, cached_tokens: 0 },
    timings: { prefill_ms: 0, decode_ms: 1 },
  });
  expect(decodeUpstream(encodeUpstream(complete))).toEqual({ ok: true, value: complete });
});
