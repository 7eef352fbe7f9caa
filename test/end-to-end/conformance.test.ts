import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";

import { describe, expect, it } from "vitest";

import { CHECKS, runChecks } from "../../scripts/conformance/checks.ts";
import { ROOT } from "../../scripts/root.ts";
import { useOneSlot } from "./one-slot.ts";

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
