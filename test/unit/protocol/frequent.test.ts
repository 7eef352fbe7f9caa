import fc from "fast-check";
import { expect, it } from "vitest";

import { readFrequent } from "../../../protocol/frequent.ts";
import { upstreamSchema } from "../../../protocol/upstream.ts";
import { UPSTREAM } from "./samples.ts";

const { inference_accepted: accepted, inference_complete: complete } = UPSTREAM;

it("reads what each request costs", () => {
  expect(readFrequent(accepted)).toEqual(accepted);
  expect(readFrequent(complete)).toEqual(complete);
});

it.each(Object.values(UPSTREAM).filter(({ type }) => type !== accepted.type && type !== complete.type))(
  "leaves $type to its schema",
  (message) => {
    expect(readFrequent(message)).toBeNull();
  },
);

it("never disagrees with the schema, whatever a field holds", () => {
  const odd = fc.oneof(
    fc.constantFrom(undefined, null, true, "", "x".repeat(300), -1, -0, 0.5, 2 ** 32, 2 ** 60, NaN, Infinity),
    fc.nat(),
    fc.string(),
    fc.constantFrom({}, [], [1], { prompt_tokens: 1 }),
  );
  const paths = [
    ...["type", "request_id", "stream", "usage", "finish_reason", "timings", "surprise"].map((name) => [
      name,
    ]),
    ...["prompt_tokens", "completion_tokens", "cached_tokens", "surprise"].map((name) => ["usage", name]),
    ...["queue_ms", "prefill_ms", "decode_ms"].map((name) => ["timings", name]),
  ];
  fc.assert(
    fc.property(
      fc.constantFrom(accepted, complete),
      fc.constantFrom(...paths),
      odd,
      (message, path, value) => {
        const json = withValue(message, path, value);
        const { data } = upstreamSchema.safeParse(json);
        expect(readFrequent(json) ?? data).toEqual(data);
      },
    ),
    { numRuns: 2000 },
  );
});

function withValue(message: object, [name = "", ...rest]: readonly string[], value: unknown): object {
  if (rest.length === 0) return { ...message, [name]: value };
  const inner: unknown = Object.entries(message).find(([key]) => key === name)?.[1];
  return {
    ...message,
    [name]: withValue(typeof inner === "object" && inner !== null ? inner : {}, rest, value),
  };
}
