import { execFile } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";

import { APIError } from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { ROOT } from "../../scripts/root.ts";
import { tinyModel } from "../../scripts/tiny-model.ts";
import { LONG_GRAMMAR } from "./questions.ts";
import { Stack, until } from "./stack.ts";

/** Real processes, real sockets, real models, the official client. */

const who = [{ role: "user" as const, content: "Who are you?" }];

/** Sampled, but always the same: the model says its name. */
const introduce = { model: "tiny-bard", messages: who, temperature: 0.7, top_p: 0.9, seed: 7 };

const stack = new Stack();

beforeAll(async () => {
  await stack.startCoordinator();
  await stack.admin.addToCatalog(["tiny-bard", "tiny-verse"].map(tinyModel));
});

afterAll(() => stack.stop());

function longStream(signal?: AbortSignal) {
  return stack
    .client()
    .chat.completions.create(
      { model: "tiny-bard", messages: who, stream: true, grammar: LONG_GRAMMAR } as never,
      {
        signal: signal ?? null,
      },
    ) as unknown as Promise<
    AsyncIterable<{ choices: { delta: { content?: string }; finish_reason: string | null }[] }>
  >;
}

describe("the stack", () => {
  it("answers a stranger's first request with 503 while the fleet is empty", async () => {
    const error: unknown = await stack
      .client()
      .chat.completions.create(introduce)
      .catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(APIError);
    expect(error).toMatchObject({ status: 503, code: "model_unavailable" });
  });

  it("routes each model to the machine that holds it, streamed and not", async () => {
    const bard = await stack.startProvider("mac-bard", "tiny-bard");
    const verse = await stack.startProvider("mac-verse", "tiny-verse");
    const client = stack.client();
    for (const [model, name] of [
      ["tiny-bard", "Tiny Bard"],
      ["tiny-verse", "Tiny Verse"],
    ] as const) {
      const body = { model, messages: who, temperature: 0.7, top_p: 0.9, seed: 7 };
      const whole = await client.chat.completions.create(body);
      expect(whole.choices[0]?.message.content).toContain(name);
      expect(whole.model).toBe(model);
      expect(whole.usage?.completion_tokens).toBeGreaterThan(3);
      const stream = await client.chat.completions.create({
        ...body,
        stream: true,
        stream_options: { include_usage: true },
      });
      let text = "";
      let usage: number | undefined;
      const reasons: string[] = [];
      for await (const chunk of stream) {
        text += chunk.choices[0]?.delta.content ?? "";
        const reason = chunk.choices[0]?.finish_reason;
        if (reason != null) reasons.push(reason);
        usage = chunk.usage?.completion_tokens ?? usage;
      }
      expect(text).toBe(whole.choices[0]?.message.content);
      expect(usage).toBe(whole.usage?.completion_tokens);
      expect(reasons).toEqual(["stop"]);
    }
    const exits = [bard, verse].map(async (machine): Promise<unknown> => (await once(machine, "exit"))[0]);
    bard.kill("SIGTERM");
    verse.kill("SIGTERM");
    expect(await Promise.all(exits)).toEqual([0, 0]);
  });

  it("serves two clients at once on one machine", async () => {
    const machine = await stack.startProvider("mac-two", "tiny-bard");
    const streams = await Promise.all([longStream(), longStream()]);
    const order: number[] = [];
    await Promise.all(
      streams.map(async (stream, index) => {
        for await (const chunk of stream) if (chunk.choices[0]?.delta.content) order.push(index);
      }),
    );
    const firstOfSecond = order.indexOf(1);
    const lastOfFirst = order.lastIndexOf(0);
    expect(Math.min(firstOfSecond, lastOfFirst)).toBeGreaterThanOrEqual(0);
    expect(firstOfSecond).toBeLessThan(lastOfFirst);
    machine.kill("SIGKILL");
    await once(machine, "exit");
  });

  it("[F7] frees the slot when the client goes away half way", async () => {
    const machine = await stack.startProvider("mac-cancel", "tiny-bard", ["--slots", "1"]);
    const abort = new AbortController();
    const stream = await longStream(abort.signal);
    for await (const chunk of stream) {
      if (chunk.choices[0]?.delta.content) break;
    }
    abort.abort();
    // With one slot, this is answered only once the first request has left it.
    const next = await stack.client({ maxRetries: 5 }).chat.completions.create(introduce);
    expect(next.choices[0]?.message.content).toContain("Tiny Bard");
    machine.kill("SIGKILL");
    await once(machine, "exit");
  });

  it("tries another machine when one is killed before the first byte", async () => {
    // It would echo the question; but it is stopped before it gets it.
    const slow = await stack.startProvider("mac-slow", "tiny-bard", ["--engine", "echo"]);
    slow.kill("SIGSTOP");
    const pending = stack.client().chat.completions.create(introduce);
    const good = await stack.startProvider("mac-good", "tiny-bard");
    slow.kill("SIGKILL");
    expect((await pending).choices[0]?.message.content).toContain("Tiny Bard");
    good.kill("SIGKILL");
    await once(good, "exit");
  });

  it("ends a stream with an error event when its machine is killed after the first byte", async () => {
    const machine = await stack.startProvider("mac-killed", "tiny-bard");
    const stream = await longStream();
    let received = 0;
    const outcome: unknown = await (async () => {
      for await (const chunk of stream) {
        if (!chunk.choices[0]?.delta.content) continue;
        received += 1;
        if (received === 1) machine.kill("SIGKILL");
      }
      return "a clean end";
    })().catch((caught: unknown) => caught);
    expect(received).toBeGreaterThan(0);
    expect(outcome).toBeInstanceOf(APIError);
    expect(outcome).toMatchObject({ code: "provider_error" });
  });

  it("serves again after its provider was killed and started anew under the same name", async () => {
    for (const start of ["the first", "the second"]) {
      const machine = await stack.startProvider("mac-again", "tiny-bard");
      const answer = await stack.client().chat.completions.create(introduce);
      expect(answer.choices[0]?.message.content, start).toContain("Tiny Bard");
      machine.kill("SIGKILL");
      await once(machine, "exit");
    }
  });

  it("[F8] replays its own demand through the simulator", async () => {
    const machine = await stack.startProvider("mac-replayed", "tiny-bard");
    await stack.client().chat.completions.create(introduce);
    const files = { trace: join(stack.dir, "demand.csv"), fleet: join(stack.dir, "fleet.json") };
    for (const [path, file] of [
      ["demand", files.trace],
      ["demand/fleet", files.fleet],
    ] as const) {
      const response = await fetch(`${stack.url}/v1/admin/${path}`, {
        headers: { authorization: `Bearer ${stack.dev.admin_token}` },
      });
      expect(response.status).toBe(200);
      writeFileSync(file, await response.text());
    }
    const main = join(ROOT, "simulator/placement/main.ts");
    const args = [main, "--trace", files.trace, "--fleet", files.fleet];
    const { stdout } = await promisify(execFile)(process.execPath, args);
    expect(stdout).toMatch(/^ours +1\.0000/m);
    machine.kill("SIGKILL");
    await once(machine, "exit");
  });

  it("[H18] never ends a stream cleanly when the coordinator dies, and serves again after its restart", async () => {
    const machine = await stack.startProvider("mac-stays", "tiny-bard");
    const stream = await longStream();
    const kill = (): Promise<void> => (killed ??= stack.killCoordinator());
    let killed: Promise<void> | undefined;
    const outcome: unknown = await (async () => {
      for await (const chunk of stream) {
        void kill();
        if (chunk.choices[0]?.finish_reason != null) return "it was complete before the kill";
      }
      return "a clean end of a cut stream";
    })().catch((caught: unknown) => caught);
    await kill();
    expect(outcome).not.toBe("a clean end of a cut stream");
    await stack.startCoordinator();
    const client = stack.client();
    const answer = await until(() => client.chat.completions.create(introduce).catch(() => null));
    expect(answer.choices[0]?.message.content).toContain("Tiny Bard");
    machine.kill("SIGKILL");
    await once(machine, "exit");
  });
});
