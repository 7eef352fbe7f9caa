import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";

import { describe, expect, it } from "vitest";

import { CHECKS, runChecks } from "../../scripts/conformance/checks.ts";
import { ROOT } from "../../scripts/root.ts";
import { useOneSlot } from "./one-slot.ts";
import { withSmallServer, type Asked, type Fault, type Reply } from "./small-server.ts";

/** `npm run conformance`, against this coordinator with a real model, and against servers that are wrong. */

const { stack } = useOneSlot("mac-conformance");

const target = () => ({ baseUrl: stack.dev.base_url, key: stack.dev.api_key, model: "tiny-bard" });

/** Which checks a server fails, with how. */
async function breachesOf(serve: RequestListener): Promise<Map<string, string>> {
  const server = createServer(serve);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
  const findings = await runChecks({ baseUrl, key: "k", model: "m" }, CHECKS);
  server.closeAllConnections();
  await new Promise<void>((resolve) => server.close(() => resolve()));
  return new Map(findings.flatMap(({ id, breach }) => (breach === null ? [] : [[id, breach]])));
}

const chatWith =
  (is: (body: NonNullable<Asked["body"]>) => boolean, change: (reply: Reply) => object): Fault =>
  (reply, { path, body }) =>
    path === "/chat/completions" && body !== null && is(body) ? { ...reply, ...change(reply) } : reply;

/** Answers like this where it should not. */
const instead =
  (is: (asked: Asked) => boolean, status: number, body: object = {}): Fault =>
  (reply, asked) =>
    is(asked) ? { status, body } : reply;

const withFields = (fields: object) => (reply: Reply) => ({ body: { ...(reply.body as object), ...fields } });

/** The answer with its first choice changed. */
const withChoice = (change: object) => (reply: Reply) => {
  const { choices: [choice] = [] } = reply.body as { choices?: object[] };
  return withFields({ choices: [{ ...choice, ...change }] })(reply);
};
const saying = (message: object) => withChoice({ message: { role: "assistant", content: null, ...message } });
const calling = (args: string) =>
  saying({ tool_calls: [{ id: "c", type: "function", function: { name: "greet", arguments: args } }] });
/** The stream with its events changed. */
const withEvents = (change: (events: (object | string)[]) => (object | string)[]) => (reply: Reply) => ({
  body: change([...(reply.body as (object | string)[])]),
});

/** Has so many slots, which nobody gets back who has left. */
function leaky(slots: number): Fault {
  let taken = 0;
  return (reply, { body }) => {
    const isFull = taken >= slots;
    if (body?.["stream"] === true) taken += 1;
    return isFull ? { status: 503, body: {} } : reply;
  };
}

const STREAM = [
  { choices: [{ index: 0, delta: { role: "assistant", content: "Hi" } }] },
  { choices: [{ index: 0, delta: {}, finish_reason: "stop" }] },
].map((chunk) => ({ id: "c", object: "chat.completion.chunk", created: 1, model: "m", ...chunk }));

/** A server that streams chats like this, and knows nothing else. */
function streaming(chunks: readonly object[], end: string): RequestListener {
  return (_, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.end(chunks.map((chunk) => `data: ${JSON.stringify(chunk)}\n\n`).join("") + end);
  };
}

describe("conformance", () => {
  it("is kept by this coordinator", async () => {
    const findings = await runChecks(target(), CHECKS);
    expect(findings.filter(({ breach }) => breach !== null)).toEqual([]);
    expect(new Set(findings.map(({ id }) => id)).size).toBe(CHECKS.length);
  });

  it("is kept by no server that answers everything with an empty object, and none that answers nothing", async () => {
    const empty = await breachesOf((_, response) => response.writeHead(200).end("{}"));
    expect(empty.size).toBe(CHECKS.length);
    expect(empty.get("refusal.key")).toBe("status 200 instead of 401");
    const gone = await breachesOf((_, response) => response.destroy());
    expect(gone.size).toBe(CHECKS.length);
    expect(gone.get("chat.whole")).toMatch(/^no answer: /);
  });

  it.each([
    ["is as it must be", STREAM, "data: [DONE]\n\n", undefined],
    ["ends without a word", STREAM, "", "the stream does not end with [DONE]"],
    ["was cut", STREAM.slice(0, 1), "data: [DONE]\n\n", "0 chunks have a finish_reason"],
    [
      "changes its id",
      [STREAM[0] ?? {}, { ...STREAM[1], id: "d" }],
      "data: [DONE]\n\n",
      "chunks differ in id",
    ],
    ["has no role", [STREAM[1] ?? {}, STREAM[0] ?? {}], "data: [DONE]\n\n", "the first delta has no role"],
  ])("sees what is wrong with a stream that %s", async (_, chunks, end, breach) => {
    expect((await breachesOf(streaming(chunks, end))).get("chat.stream")).toBe(breach);
  });

  it("is kept by a small server that keeps it, which is no other than the API says", async () => {
    const findings = await withSmallServer(
      (reply) => reply,
      (baseUrl) => runChecks({ baseUrl, key: "k", model: "m" }, CHECKS),
    );
    expect(findings.filter(({ breach }) => breach !== null)).toEqual([]);
  });

  it.each<[id: string, fault: Fault, breach: string]>([
    [
      "models.list",
      instead(({ path }) => path === "/models", 200, { object: "list", data: [] }),
      "m is not in the list",
    ],
    ["models.one", instead(({ path }) => path === "/models/m", 404), "status 404 instead of 200: {}"],
    ["chat.whole", chatWith(() => true, saying({ content: "" })), "the answer is empty"],
    [
      "chat.whole",
      chatWith(
        () => true,
        withFields({ usage: { prompt_tokens: 2, completion_tokens: 1, total_tokens: 2 } }),
      ),
      "the tokens do not add up",
    ],
    [
      "chat.stream",
      chatWith(
        () => true,
        withEvents((events) => events.slice(1)),
      ),
      "the first delta has no role",
    ],
    [
      "chat.stream.usage",
      chatWith(
        ({ stream_options }) => stream_options !== undefined,
        withEvents((events) => events.toSpliced(-2, 1)),
      ),
      "the last chunk is not usage without choices",
    ],
    [
      "chat.stream.usage",
      chatWith(
        ({ stream_options }) => stream_options === undefined,
        withEvents((events) => [...events.slice(0, -1), { ...(events[0] as object), choices: [] }, "[DONE]"]),
      ),
      "a chunk without choices, though no usage was asked for",
    ],
    [
      "chat.length",
      chatWith(
        ({ max_completion_tokens }) => max_completion_tokens === 1,
        withChoice({ finish_reason: "stop" }),
      ),
      "max_completion_tokens: 1 ends with stop",
    ],
    [
      "chat.parts",
      instead(({ body }) => JSON.stringify(body).includes('"type":"text"'), 400),
      "status 400 instead of 200: {}",
    ],
    [
      "chat.unknown-field",
      instead(({ body }) => body !== null && "x_unknown" in body, 422),
      "status 422 instead of 200: {}",
    ],
    [
      "chat.tool",
      chatWith(() => true, calling('{"whom":"Bob"}')),
      'the arguments of the call: whom: Invalid option: expected one of "Ada"|"Grace"',
    ],
    [
      "chat.tool",
      chatWith(() => true, saying({ content: "Hi" })),
      "tool_choice: required, and no tool was called",
    ],
    [
      "chat.tool.result",
      chatWith(({ tool_choice }) => tool_choice === "none", calling("{}")),
      "tool_choice: none, and a tool was called",
    ],
    ["chat.schema", chatWith(() => true, saying({ content: "Hi" })), "not JSON: Hi"],
    ["chat.abort", leaky(1), "status 503 instead of 200"],
    ["chat.abort", leaky(8), "status 503 instead of 200: {}"],
    [
      "responses.whole",
      (reply) => ({ ...reply, ...withFields({ output: [{ type: "reasoning" }] })(reply) }),
      "no output is a message",
    ],
    [
      "responses.stream",
      (reply) => ({ ...reply, ...withEvents((events) => [...events, "[DONE]"])(reply) }),
      "[DONE] belongs to chats",
    ],
    [
      "responses.stream",
      (reply) => ({
        ...reply,
        ...withEvents(([first = "", ...rest]) => [first, ...rest.toReversed()])(reply),
      }),
      "the last event is response.content_part.added",
    ],
    ["refusal.key", instead(() => true, 200), "status 200 instead of 401"],
    ["refusal.model", instead(() => true, 400), "status 400 instead of 404"],
    ["refusal.json", instead(() => true, 500), "status 500 instead of 400"],
    ["refusal.messages", instead(() => true, 200), "status 200 instead of 400 or 422"],
    ["refusal.role", instead(() => true, 200), "status 200 instead of 400 or 422"],
    ["refusal.max_tokens", instead(() => true, 200), "status 200 instead of 400 or 422"],
    ["refusal.route", instead(() => true, 200), "status 200 instead of 404"],
    ["refusal.method", instead(() => true, 500), "status 500 instead of 405 or 404"],
    [
      "refusal.method",
      (reply) => ({ ...reply, body: { detail: "no" } }),
      "the refusal: error: Invalid input: expected object, received undefined",
    ],
    [
      "refusal.route",
      (reply) => ({ ...reply, headers: { "x-request-id": "" } }),
      "the refusal has no x-request-id",
    ],
    [
      "refusal.n",
      instead(() => true, 200, { choices: [{}] }),
      "the completion: choices: Too small: expected array to have exactly 2 items",
    ],
    [
      "refusal.n",
      (reply) => ({ ...reply, body: { error: { message: "no", type: "t", code: null, param: null } } }),
      "param is null, not n",
    ],
  ])("sees that %s is broken", async (id, fault, breach) => {
    const checks = CHECKS.filter((check) => check.id === id);
    const findings = await withSmallServer(fault, (baseUrl) =>
      runChecks({ baseUrl, key: "k", model: "m" }, checks),
    );
    expect(findings).toEqual([expect.objectContaining({ id, breach })]);
  });

  it("says by its exit code what came of it", async () => {
    const exitOf = async (...args: string[]) => {
      const argv = [join(ROOT, "scripts/launch.mjs"), "conformance", ...args];
      const program = spawn(process.execPath, argv, { stdio: ["ignore", "pipe", "pipe"] });
      let stdout = "";
      program.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
      const [code] = (await once(program, "close")) as [number];
      return { code, stdout };
    };
    const { baseUrl, key, model } = target();
    const known = ["--base-url", `${baseUrl}/`, "--key", key];
    const passed = await exitOf(...known, "--model", model, "--only", "models");
    expect(passed).toMatchObject({ code: 0, stdout: expect.stringContaining("2 of 2 rules are kept.") });
    const failed = await exitOf(...known, "--model", "none", "--only", "models", "--json");
    expect(failed.code).toBe(1);
    expect(JSON.parse(failed.stdout)).toMatchObject({ model: "none", broken: 2 });
    expect((await exitOf("--only", "models")).code).toBe(2);
  });
});
