import { describe, expect, it } from "vitest";

import { join } from "./fake-provider.ts";
import {
  advanceClock,
  endGrace,
  fetchEdge,
  poolOf,
  scene,
  setFlag,
  stopClock,
  untilEmpty,
  untilQueued,
  type Scene,
} from "./scene.ts";

/** Each way to ask for the same, so that what comes of it can be compared. */
const WAYS = [
  ["/v1/chat/completions", { messages: [{ role: "user", content: "hi" }] }],
  ["/v1/responses", { input: "hi" }],
  ["/v1/completions", { prompt: "hi" }],
  ["/v1/messages", { messages: [{ role: "user", content: "hi" }], max_tokens: 9 }],
] as const;

/** What Anthropic's API calls the types of errors. */
const TYPES: Readonly<Record<string, string>> = {
  invalid_request_error: "invalid_request_error",
  authentication_error: "invalid_request_error",
  not_found_error: "invalid_request_error",
  rate_limit_error: "rate_limit_exceeded",
  api_error: "server_error",
};

describe("[C8] every API is shed alike, streamed or not:", () => {
  it("503 from a pool that no machine serves", async () => {
    const at = await scene();
    expect(await theOneRefusal(askAll(at))).toMatchObject({
      status: 503,
      error: { code: "model_unavailable", type: "server_error", param: null },
    });
  });

  it("429 pool_exhausted", async () => {
    const at = await scene();
    const machine = await join(at);
    await setFlag("pool_exhausted_429", "on");
    await machine.hasHeardAll(at);
    machine.close();
    await untilEmpty(at);
    await stopClock();
    const asked = askAll(at);
    await endGrace(at, asked.length);
    const { status, headers, error } = await theOneRefusal(asked);
    expect({ status, error }).toMatchObject({
      status: 429,
      error: { code: "pool_exhausted", type: "rate_limit_exceeded", param: null },
    });
    expect(headers["x-pool-reason"]).toBe("pool_exhausted");
    await setFlag("pool_exhausted_429", "off");
  });

  it("429 queue_timeout", async () => {
    const at = await scene({ max_concurrency: 1 });
    const machine = await join(at);
    await stopClock();
    const busy = new AbortController();
    void ask(at, 0, false, busy.signal).catch(() => undefined);
    await machine.next("inference_request");
    const waiting = askAll(at);
    await untilQueued(at, 2 * WAYS.length);
    await advanceClock(poolOf(at), 6250);
    expect(await theOneRefusal(waiting)).toMatchObject({
      status: 429,
      headers: { "x-pool-reason": "queue_timeout" },
      error: { code: "queue_timeout", type: "rate_limit_exceeded", param: null },
    });
    busy.abort();
  });

  it("429 queue_full", async () => {
    const at = await scene({ max_concurrency: 1 });
    const machine = await join(at);
    const clients = Array.from({ length: 33 }, () => new AbortController());
    for (const client of clients) void ask(at, 0, false, client.signal).catch(() => undefined);
    await machine.next("inference_request");
    await untilQueued(at, 32);
    expect(await theOneRefusal(askAll(at))).toMatchObject({
      status: 429,
      headers: { "x-pool-reason": "queue_full" },
      error: { code: "queue_full", type: "rate_limit_exceeded", param: null },
    });
    for (const client of clients) client.abort();
    await untilQueued(at, 0);
  });

  it("503 from an owner's machines of which there are none, and a wish for a route that is not known", async () => {
    const at = await scene();
    const wish = (route: string) =>
      WAYS.map(([path, fields]) =>
        fetchEdge(path, {
          method: "POST",
          headers: { ...headersOf(at), "x-pool-route": route },
          body: JSON.stringify({ model: at.model, ...fields }),
        }),
      );
    const alone = await theOneRefusal(wish("self"));
    expect(alone).toMatchObject({ status: 503, error: { code: "machine_offline" } });
    const unknown = await theOneRefusal(wish("boss"));
    expect(unknown).toMatchObject({ status: 400, error: { param: "x-pool-route" } });
  });

  it("and a model that is not in the catalog, a key that is unknown, a body that is no JSON", async () => {
    const at = await scene();
    const unknown = await theOneRefusal(askAll({ ...at, model: "none" }));
    expect(unknown).toMatchObject({ status: 404, error: { code: "model_not_found" } });
    const stranger = await theOneRefusal(askAll({ ...at, apiKey: "pk_0_0" }));
    expect(stranger).toMatchObject({ status: 401, error: { code: "invalid_api_key" } });
    const asked = WAYS.map(([path]) =>
      fetchEdge(path, { method: "POST", headers: headersOf(at), body: "{no" }),
    );
    expect(await theOneRefusal(asked)).toMatchObject({ status: 400, error: { code: "invalid_request" } });
  });
});

interface Refusal {
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly error: object;
}

/** Of one API alone, or of one request. */
const OWN_HEADERS = [
  "request-id",
  "x-should-retry",
  "retry-after",
  "retry-after-ms",
  "x-pool-queue-ms",
  "openai-processing-ms",
  "server-timing",
];

/** What all were told, down to the last header. How long each waited and when it should come back is its own. */
async function theOneRefusal(asked: readonly Promise<Response>[]): Promise<Refusal> {
  const refusals = await Promise.all(
    asked.map(async (pending) => {
      const response = await pending;
      const error = errorIn(await response.json<ErrorBody>());
      expectRetryAfter(response);
      const headers = new Headers(response.headers);
      const ownId = headers.get("request-id");
      expect(ownId === null || ownId === "trace-8").toBe(true);
      for (const own of OWN_HEADERS) headers.delete(own);
      return { status: response.status, headers: Object.fromEntries(headers), error };
    }),
  );
  const [first] = refusals;
  if (first === undefined) throw new Error("nothing was asked");
  expect(first.headers).toMatchObject({ "content-type": "application/json", "x-request-id": "trace-8" });
  for (const refusal of refusals) expect(refusal).toEqual(first);
  return first;
}

type ErrorBody =
  | { readonly error: object; readonly type?: undefined }
  | {
      readonly type: "error";
      readonly error: {
        type: string;
        message: string;
        details: { error_code: string; param: string | null };
      };
      readonly request_id: string;
    };

/** The same words of either envelope. */
function errorIn(body: ErrorBody): object {
  if (body.type === undefined) return body.error;
  expect(body.request_id).toBe("trace-8");
  const { type, message, details } = body.error;
  return { message, type: TYPES[type], code: details.error_code, param: details.param };
}

function expectRetryAfter({ status, headers }: Response): void {
  if (status !== 429 && status !== 503) return;
  const seconds = Number(headers.get("retry-after"));
  expect(seconds).toBeGreaterThanOrEqual(headers.get("x-pool-reason") === "pool_exhausted" ? 10 : 1);
  expect(seconds).toBeLessThanOrEqual(60);
  expect(Math.ceil(Number(headers.get("retry-after-ms")) / 1000)).toBe(seconds);
}

function askAll(at: Scene): Promise<Response>[] {
  return WAYS.flatMap((_, way) => [ask(at, way, false), ask(at, way, true)]);
}

function ask(at: Scene, way: number, stream: boolean, signal?: AbortSignal): Promise<Response> {
  const [path, fields] = WAYS[way] ?? WAYS[0];
  return fetchEdge(path, {
    method: "POST",
    headers: headersOf(at),
    body: JSON.stringify({ model: at.model, stream, ...fields }),
    signal: signal ?? null,
  });
}

function headersOf(at: Scene): Record<string, string> {
  return { authorization: `Bearer ${at.apiKey}`, "x-request-id": "trace-8" };
}
