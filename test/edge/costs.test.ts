import { afterEach, expect, it, vi } from "vitest";

import { expectAnswer, join } from "./fake-provider.ts";
import { callAdmin, chat, scene, testEnv } from "./scene.ts";

/** What a chat costs is counted by `npm run bill`; this holds it to the calls and readings that are paid for. */

afterEach(() => {
  vi.restoreAllMocks();
});

/** How often a method of a binding was called since. */
function calls<Binding extends object>(binding: Binding, method: keyof Binding & string): () => number {
  const spied = vi.spyOn(Object.getPrototypeOf(binding) as Record<string, () => unknown>, method);
  return () => spied.mock.calls.length;
}

it("a key that was deleted costs one reading of KV, however often its client tries it again", async () => {
  const at = await scene();
  await callAdmin("DELETE", `/keys/${at.keyId}`);
  const reads = calls(testEnv.KEYS, "get");
  vi.useFakeTimers({ toFake: ["Date"], now: Date.now() });
  for (let tries = 0; tries < 3; tries++) expect((await chat(at)).status).toBe(401);
  expect(reads()).toBe(1);
  vi.setSystemTime(Date.now() + 10_000);
  expect((await chat(at)).status).toBe(401);
  expect(reads()).toBe(2);
});

it("a chat asks its pool once and Fleet never, and reads its key and the catalog once for many", async () => {
  const at = await scene();
  const machine = await join(at);
  // It makes the pool tell Fleet that there is demand, and what it has made the Worker read is old 20 s later.
  await expectAnswer(at, machine);
  vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + 20_000 });
  const counts = {
    keys: calls(testEnv.KEYS, "get"),
    catalog: calls(testEnv.FLAGS, "getWithMetadata"),
    pools: calls(testEnv.MODEL_POOL, "get"),
    fleet: calls(testEnv.FLEET, "getByName"),
  };
  for (let chats = 0; chats < 3; chats++) await expectAnswer(at, machine);
  const counted = Object.entries(counts).map(([what, count]) => [what, count()]);
  expect(Object.fromEntries(counted)).toEqual({ keys: 1, catalog: 1, pools: 3, fleet: 0 });
});
