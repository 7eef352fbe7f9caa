import { expect, it } from "vitest";

import { dataPointOf } from "../../../../core/pool/data-point.ts";
import type { RequestOutcome } from "../../../../core/pool/outcome.ts";
import { NO_TOKENS } from "../../../../core/pool/usage.ts";

const ended: RequestOutcome = {
  requestId: "req_1",
  keyId: "key-of-a-client",
  model: "m",
  stream: true,
  outcome: "ok",
  tokens: { promptTokens: 7, completionTokens: 3, cachedTokens: 1 },
  attempts: 2,
  machine: { machineId: "mac-1", chip: "Apple M3 Ultra" },
  queueMs: 20,
  firstTokenMs: 150,
  tookMs: 900,
  reservation: null,
  leastTokens: 0,
};

it("holds what came of a request and the times, and no ids", () => {
  const point = dataPointOf(ended);
  expect(point).toEqual({
    indexes: ["m"],
    blobs: ["m", "ok", "ok", "Apple M3 Ultra", "stream"],
    doubles: [150, 20, 900, 7, 1, 3, 2],
  });
  expect(JSON.stringify(point)).not.toMatch(/req_1|key-of|mac-1/);
});

it.each([
  ["cancelled", "cancelled"],
  ["pool_exhausted", "refused"],
  ["unsupported", "refused"],
  ["model_unavailable", "failed"],
  ["provider_error", "failed"],
])("tells the class of %s: %s", (outcome, expected) => {
  const nowhere = { machine: null, queueMs: null, firstTokenMs: null, attempts: 0, stream: false };
  const { blobs, doubles } = dataPointOf({ ...ended, ...nowhere, outcome, tokens: NO_TOKENS });
  expect(blobs).toEqual(["m", expected, outcome, "", "whole"]);
  expect(doubles).toEqual([-1, -1, 900, 0, 0, 0, 0]);
});

it("has an index that the platform takes, however long the model's name", () => {
  expect(dataPointOf({ ...ended, model: "x".repeat(200) }).indexes[0]).toHaveLength(96);
});
