import OpenAI, { APIError, AuthenticationError, BadRequestError, RateLimitError } from "openai";
import { describe, expect, it } from "vitest";

import { join, type FakeProvider, type Message } from "./fake-provider.ts";
import { adminCall, fetchEdge, poolOf, scene, setFlag, testEnv, until, type Scene } from "./scene.ts";

/** The official client's embeddings, on a machine that answers what it is told to. */

function clientOf(
  { apiKey }: Pick<Scene, "apiKey">,
  headers: Record<string, string> = {},
): OpenAI["embeddings"] {
  const fetchHere = (url: unknown, init?: RequestInit): Promise<Response> =>
    fetchEdge(String(url).slice("http://edge".length), init);
  const client = new OpenAI({
    apiKey,
    baseURL: "http://edge/v1",
    maxRetries: 0,
    defaultHeaders: headers,
    fetch: fetchHere,
    dangerouslyAllowBrowser: true,
  });
  return client.embeddings;
}

interface ApiFailure {
  readonly status: number;
  readonly code: string;
  readonly param: string | null;
}

async function failureOf(asked: Promise<unknown>): Promise<APIError & ApiFailure> {
  const failure: unknown = await asked.catch((error: unknown) => error);
  if (!(failure instanceof APIError)) throw new Error(`not refused: ${JSON.stringify(failure)}`);
  return failure as APIError & ApiFailure;
}

const VECTORS = [Float32Array.of(0.6, -0.8), Float32Array.of(1, 2 ** -20)];

/** Answers as our provider does: one vector after the other, in the form that is asked for. */
function answer(machine: FakeProvider, request: Message, tokens = 9): void {
  const { model, encoding_format } = request["body"] as { model: string; encoding_format?: string };
  machine.accept(request);
  for (const [index, vector] of VECTORS.entries()) {
    const embedding =
      encoding_format === "base64"
        ? btoa(String.fromCharCode(...new Uint8Array(vector.buffer)))
        : [...vector];
    const start = index === 0 ? '{"object":"list","data":[' : ",";
    machine.bytes(request, start, JSON.stringify({ object: "embedding", index, embedding }));
  }
  const usage = JSON.stringify({ prompt_tokens: tokens, total_tokens: tokens });
  machine.bytes(request, `],"model":"${model}","usage":${usage}}`);
  const { request_id, stream } = request;
  machine.send({
    type: "inference_complete",
    request_id,
    stream,
    usage: { prompt_tokens: tokens, completion_tokens: 0 },
    finish_reason: "stop",
    timings: { queue_ms: 0, prefill_ms: 5, decode_ms: 0 },
  });
}

describe("the official client's embeddings", () => {
  it("come in base64, which it asks for by itself, and are what the machine has made", async () => {
    const at = await scene();
    const machine = await join(at);
    const pending = clientOf(at).create({ model: at.model, input: ["To be", "or not"], user: "ann" });
    const request = await machine.next("inference_request");
    expect(request).toMatchObject({
      endpoint: "/v1/embeddings",
      model_id: at.model,
      body: { model: at.model, input: ["To be", "or not"], encoding_format: "base64", user: "ann" },
    });
    answer(machine, request);
    expect(await pending).toEqual({
      object: "list",
      data: VECTORS.map((vector, index) => ({ object: "embedding", index, embedding: [...vector] })),
      model: at.model,
      usage: { prompt_tokens: 9, total_tokens: 9 },
    });
  });

  it("come as numbers if it wants those, and under an alias that it asks for", async () => {
    const alias = `alias-${crypto.randomUUID().slice(0, 6)}`;
    const at = await scene({ aliases: [alias] });
    const machine = await join(at);
    const pending = clientOf(at).create({ model: alias, input: "To be", encoding_format: "float" });
    const request = await machine.next("inference_request");
    expect(request).toMatchObject({ model_id: at.model, body: { model: alias, input: "To be" } });
    answer(machine, request);
    const { model, data } = await pending;
    expect([model, ...data.map(({ embedding }) => embedding)]).toEqual([
      alias,
      ...VECTORS.map((one) => [...one]),
    ]);
  });

  it("are refused before a machine hears of them if their fields are wrong, with the field's name", async () => {
    const at = await scene();
    const machine = await join(at);
    const embeddings = clientOf(at);
    for (const [fields, param, word] of [
      [{ input: "" }, "input", "empty"],
      [{ input: [] }, "input", "empty"],
      [{ input: ["x", ""] }, "input[1]", "empty"],
      [{ input: [17, 4] }, "input[0]", "token ids"],
      [{ input: ["x", [17, 4]] }, "input[1]", "token ids"],
      [{ input: Array.from({ length: 2049 }, () => "x") }, "input", "2048"],
      [{ input: "x", encoding_format: "int8" }, "encoding_format", "base64"],
      [{ input: "x", dimensions: 0 }, "dimensions", "at least"],
      [{ input: "x", model: "" }, "model", "empty"],
      [{}, "input", "required"],
    ] as const) {
      const body = { model: at.model, ...fields } as unknown as OpenAI.EmbeddingCreateParams;
      const failure = await failureOf(embeddings.create(body));
      expect(failure).toBeInstanceOf(BadRequestError);
      expect(failure).toMatchObject({ code: "invalid_request", param });
      expect(failure.message).toContain(word);
    }
    await machine.hasHeardAll(at);
    expect(machine.unread).toEqual([]);
  });

  it("are refused by the machine for what only it can know", async () => {
    const at = await scene();
    const machine = await join(at);
    for (const [code, message, param] of [
      ["context_length_exceeded", "input[3]: This model's maximum context length is 512 tokens", "input[3]"],
      ["unsupported", "dimensions: vectors of this model have 768 numbers", "dimensions"],
      ["unsupported", "model: this model makes no vectors", "model"],
      // What a provider says that is older than embeddings.
      ["unsupported", "this machine serves /v1/chat/completions only", null],
    ] as const) {
      const pending = failureOf(clientOf(at).create({ model: at.model, input: "x" }));
      machine.error(await machine.next("inference_request"), "client", code, message);
      expect(await pending).toMatchObject({ status: 400, code, param });
    }
    // It was not blamed for any of them.
    expect(await poolOf(at).report(4)).toMatchObject({ machines: [{ blockedBy: null, freeSlots: 4 }] });
  });

  it("need a key, and a model of the catalog", async () => {
    const at = await scene();
    const body = { model: "nobody", input: "x" };
    expect(await failureOf(clientOf({ apiKey: "pk_0_0" }).create(body))).toBeInstanceOf(AuthenticationError);
    expect(await failureOf(clientOf(at).create(body))).toMatchObject({
      status: 404,
      code: "model_not_found",
    });
  });
});

describe("a request for embeddings is admitted like a chat", () => {
  it("is tried again, with what had come of it thrown away, when its machine fails in the middle", async () => {
    const at = await scene();
    const first = await join(at);
    const pending = clientOf(at).create({ model: at.model, input: ["To be", "or not"] });
    const request = await first.next("inference_request");
    const second = await join(at);
    first.accept(request);
    first.bytes(request, '{"object":"list","data":[');
    first.error(request, "fault", "engine_crashed");
    answer(second, await second.next("inference_request"));
    expect((await pending).data).toHaveLength(2);
  });

  it("waits for a slot, and is refused with a 429 where nobody may wait", async () => {
    const at = await scene({ max_concurrency: 1 });
    const machine = await join(at);
    const pending = clientOf(at).create({ model: at.model, input: "x" });
    const request = await machine.next("inference_request");
    await setFlag("queue_max", "0");
    const refused = await failureOf(clientOf(at).create({ model: at.model, input: "x" }));
    await setFlag("queue_max", "32");
    expect(refused).toBeInstanceOf(RateLimitError);
    expect(refused).toMatchObject({ code: "queue_full", type: "rate_limit_exceeded" });
    expect(Number(refused.headers?.get("retry-after"))).toBeGreaterThanOrEqual(1);
    answer(machine, request);
    await pending;
  });

  it("counts with all its tokens, though they are more than fit into one context, and with none of an answer", async () => {
    const at = await scene({ context_length: 512 });
    const machine = await join(at);
    const ask = async (input: string[], tokens: number): Promise<void> => {
      const pending = clientOf(at).create({ model: at.model, input });
      answer(machine, await machine.next("inference_request"), tokens);
      await pending;
    };
    const texts = ["x", "y", "z"].map((letter) => letter.repeat(500));
    await ask(texts, 1400);
    // No text of the three is longer than the model's context, whatever a machine says.
    await ask(texts, 1600);
    const rows = async () => {
      const { usage } = await adminCall<{ usage: Record<string, unknown>[] }>("GET", "/usage");
      return usage.filter((row) => row["model_id"] === at.model);
    };
    await until(async () => (await rows())[0]?.["requests"] === 2);
    expect(await rows()).toMatchObject([
      { outcome: "ok", prompt_tokens: 1400 + 3 * 512, completion_tokens: 0 },
    ]);
    // And none has more tokens than bytes.
    const long = Array.from({ length: 100 }, () => "x");
    await ask(long, 100 * 512);
    await until(async () => (await rows())[0]?.["requests"] === 3);
    expect(Number((await rows())[0]?.["prompt_tokens"])).toBeLessThan(1400 + 3 * 512 + 3 * 1000);
  });

  it("uses up its key's tokens by what was read, and is refused when they are used up", async () => {
    const at = await scene();
    const machine = await join(at);
    const limits = { owner: "acme", name: "limited", tokens_per_minute: 1000 };
    const { id, key } = await adminCall<{ id: string; key: string }>("POST", "/keys", limits);
    const embeddings = clientOf({ apiKey: key });
    const pending = embeddings.create({ model: at.model, input: "x".repeat(300) }).asResponse();
    answer(machine, await machine.next("inference_request"), 990);
    // Of the body's length alone, since no answer is to be written.
    expect(Number((await pending).headers.get("x-ratelimit-remaining-tokens"))).toBeGreaterThan(900);
    await until(async () => (await tokensLeft(id, 1000)) === 10);
    const refused = await failureOf(embeddings.create({ model: at.model, input: "x".repeat(400) }));
    expect(refused).toMatchObject({ status: 429, code: "rate_limited" });
  });

  it("goes to its owner's machine if that is wanted", async () => {
    const at = await scene();
    const machine = await join(at);
    const pending = clientOf(at, { "x-pool-route": "self" }).create({ model: at.model, input: "x" });
    const request = await machine.next("inference_request");
    expect(request).toMatchObject({ endpoint: "/v1/embeddings", owner_bypass: true });
    answer(machine, request);
    await pending;
  });
});

/** How many tokens the key has left, as the next request would be told; it uses none up itself. */
async function tokensLeft(keyId: string, limit: number): Promise<number> {
  const question = { promptTokens: 0, answerTokens: 0 };
  const limits = { requestsPerMinute: null, tokensPerMinute: limit };
  const { standings } = await testEnv.KEY_LIMITS.getByName(keyId).admit(limits, question);
  return standings.tokens?.remaining ?? -1;
}
