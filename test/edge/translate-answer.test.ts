import { describe, expect, it, vi } from "vitest";

import { HttpError } from "../../worker/http-error.ts";
import { translateAnswer, type Translator } from "../../worker/openai/translate-answer.ts";
import { chunk, sse } from "../support/translation.ts";
import { readText } from "./scene.ts";

/** A pool's response on its way to another API: its headers, its pace, and its ends. */

/** Writes each call of its own as a word. */
const plain: Translator = {
  answeredBy: () => undefined,
  whole: (completion) => ({ whole: completion }),
  chunk: ({ choices = [] }) => choices.map(({ delta }) => delta.content ?? "").join(""),
  comment: (line) => `<${line}>`,
  end: () => "<end>",
  fail: (error) => `<${JSON.stringify(error)}>`,
};

const utf8 = new TextEncoder();
const EVENTS = {
  "content-type": "text/event-stream; charset=utf-8",
  "x-pool-machine": "m",
  "content-length": "9",
};

/** A pool's stream of these pieces, which says how it is read. */
function poolStream(...pieces: Uint8Array[]) {
  const rest = [...pieces];
  const told = { pulls: 0, cancelled: undefined as unknown };
  const body = new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        told.pulls += 1;
        const piece = rest.shift();
        if (piece === undefined) controller.close();
        else controller.enqueue(piece);
      },
      cancel(reason) {
        told.cancelled = reason ?? "no reason";
      },
    },
    { highWaterMark: 0 },
  );
  return { told, response: new Response(body, { headers: EVENTS }) };
}

const broke = (message: string): string =>
  `<${JSON.stringify({ message, type: "server_error", code: "provider_error", param: null })}>`;
const CUT_OFF = broke("the answer was cut off; try again");
const NO_SENSE = broke("the machine's answer makes no sense; try again");

describe("a response of a pool", () => {
  it.each([
    ["a stream", () => poolStream(sse(chunk({ content: "a" }))).response, "a<end>"],
    [
      "a whole answer",
      () => Response.json({ a: 1 }, { headers: { ...EVENTS, "content-type": "application/json" } }),
      '{"whole":{"a":1}}',
    ],
  ])("that is %s keeps its headers but for its length", async (_, response, text) => {
    const translated = await translateAnswer(response(), plain);
    expect(translated.headers.get("x-pool-machine")).toBe("m");
    expect(translated.headers.has("content-length")).toBe(false);
    expect(await translated.text()).toBe(text);
  });

  it.each([
    ["a refusal", Response.json({ error: {} }, { status: 429 })],
    ["nothing", new Response(null)],
  ])("that is %s stays as it is", async (_, response) => {
    expect(await translateAnswer(response, plain)).toBe(response);
  });

  it("that makes no sense is a fault of its machine, and the log says of it only what kind of error", async () => {
    const logged = vi.spyOn(console, "warn").mockImplementation(() => undefined);
    const failed: unknown = await translateAnswer(new Response("{secret"), plain).catch(
      (error: unknown) => error,
    );
    if (!(failed instanceof HttpError)) throw new Error(`not refused: ${String(failed)}`);
    expect(failed.apiError).toEqual({
      code: "provider_error",
      message: "the machine's answer makes no sense; try again",
    });
    expect(logged.mock.calls).toEqual([[{ event: "malformed_answer", error: "SyntaxError" }]]);
    logged.mockRestore();
  });
});

describe("a stream of a pool", () => {
  const translated = async (...pieces: Uint8Array[]): Promise<string> =>
    (await translateAnswer(poolStream(...pieces).response, plain)).text();

  it.each<[string, Uint8Array[], string]>([
    ["with comments and an end", [utf8.encode(": k\n\n"), sse(chunk({ content: "a" }))], "<: k>a<end>"],
    ["in which nothing is said", [sse()], "<end>"],
    [
      "that is finished and says no [DONE]",
      [utf8.encode(`data: ${JSON.stringify(chunk({}, "stop"))}\n\n`)],
      "<end>",
    ],
    [
      "that is not finished",
      [utf8.encode(`data: ${JSON.stringify(chunk({ content: "a" }))}\n\n`)],
      `a${CUT_OFF}`,
    ],
    ["that has no event", [], CUT_OFF],
    ["with an error", [sse({ error: { message: "m" } }, chunk({ content: "a" }))], '<{"message":"m"}>'],
    ["with null for a chunk", [sse(null, chunk({ content: "a" }))], NO_SENSE],
    ["with no JSON", [utf8.encode("data: {\n\n"), sse(chunk({ content: "a" }))], NO_SENSE],
  ])("%s", async (_, pieces, text) => {
    const logged = vi.spyOn(console, "warn").mockImplementation(() => undefined);
    expect(await translated(...pieces)).toBe(text);
    expect(logged).toHaveBeenCalledTimes(text === NO_SENSE ? 1 : 0);
    logged.mockRestore();
  });

  it("is read as fast as its client reads, and no event of it is empty", async () => {
    const empty = sse(chunk({}));
    const pieces = [chunk({ content: "a" }), chunk({ content: "b" })].map((each) =>
      utf8.encode(`data: ${JSON.stringify(each)}\n\n`),
    );
    const { told, response } = poolStream(empty, ...pieces);
    const reader = (await translateAnswer(response, plain)).body?.getReader();
    await scheduler.wait(1);
    expect(told.pulls).toBe(0);
    expect(await readText(reader)).toBe("a");
    await scheduler.wait(1);
    expect(told.pulls).toBe(2);
    expect(await readText(reader)).toBe("b");
  });

  it("is given up when its client leaves, or when it has failed", async () => {
    const left = poolStream(sse(chunk({ content: "a" })));
    await (await translateAnswer(left.response, plain)).body?.cancel("left");
    expect(left.told.cancelled).toBe("left");
    const failed = poolStream(sse({ error: { message: "m" } }), sse());
    await (await translateAnswer(failed.response, plain)).text();
    expect(failed.told.cancelled).toBe("no reason");
  });
});
