import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, expect, it, vi } from "vitest";

import type { LoadedModel } from "../../provider/src/engine.ts";
import { ask, type Body, failure, hello } from "./engine-questions.ts";
import { load, VERSE } from "./llama-models.ts";

/** What a GPU does after a command has failed on it: all that follow fail as well. */

let directory: string;
let loaded: LoadedModel;
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "engine-broken-"));
  const fixture = new URL("fixtures/failing-engine.ts", import.meta.url).href;
  vi.stubEnv("NODE_OPTIONS", `--import ${fixture}`);
  vi.stubEnv("FAILS", join(directory, "fails"));
  loaded = await load(VERSE);
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await loaded.unload();
  rmSync(directory, { recursive: true });
});

// Some clients write out what they leave to the machine.
const asked = { ...hello(), max_tokens: 1, grammar: null };

async function fail(body: Body, times: number): Promise<void> {
  writeFileSync(join(directory, "fails"), "");
  for (let time = 0; time < times; time += 1) {
    expect(await failure(ask(loaded, body))).toMatchObject({ class: "fault", code: "generation_failed" });
  }
  rmSync(join(directory, "fails"));
}

it("is over when three requests have failed one after the other", async () => {
  await fail(asked, 3);
  const error = await loaded.died;
  expect(error).toMatchObject({ class: "fault", code: "engine_broken" });
  expect(error.message).toMatch(/^3 requests in a row have failed: .*Eval has failed/);
  expect(await failure(ask(loaded, asked))).toBe(error);
});

it("goes on if a request succeeds in between, or fails by its own grammar or for its client", async () => {
  await fail(asked, 2);
  await ask(loaded, asked);
  await fail(asked, 2);
  await fail({ ...asked, grammar: 'root ::= "a"' }, 3);
  expect(await failure(ask(loaded, { ...asked, n: 2 }))).toMatchObject({ class: "client" });
  const { result } = await ask(loaded, asked);
  expect(result.finishReason).toBe("length");
});
