import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

import { describe, expect, it } from "vitest";

import { CACHE_KEYS_PER_MACHINE } from "../../../../core/limits.ts";
import { CacheKeys } from "../../../../core/pool/cache-keys.ts";

const keyed = (cacheKey: number | null, keyId = "key") => ({
  keyId,
  cacheKeys: cacheKey === null ? [] : [cacheKey],
});

it("as much of a prompt is expected to be cached as the last one of its key was long", () => {
  const keys = new CacheKeys();
  expect(keys.expectedTokens(keyed(1), 1000)).toBe(0);
  expect(keys.learn(keyed(1), 1000, 0)).toEqual({ added: [1], forgotten: [] });
  expect(keys.expectedTokens(keyed(1), 5000)).toBe(1000);
  expect(keys.expectedTokens(keyed(1), 300)).toBe(300);
  expect(keys.learn(keyed(1), 5000, 1000)).toEqual({ added: [], forgotten: [] });
  expect(keys.expectedTokens(keyed(1), 9000)).toBe(5000);
  expect([keyed(2), keyed(null)].map((other) => keys.expectedTokens(other, 9000))).toEqual([0, 0]);
  expect(keys.learn(keyed(null), 1000, 1000)).toEqual({ added: [], forgotten: [] });
});

it("a key counts for what its prompts turn out to have cached", () => {
  const keys = new CacheKeys();
  for (const cached of [0, 0, 0, 0]) keys.learn(keyed(1), 1000, cached);
  expect(keys.expectedTokens(keyed(1), 1000)).toBe(125);
  keys.learn(keyed(1), 1000, null);
  expect(keys.expectedTokens(keyed(1), 1000)).toBe(125);
  for (let i = 0; i < 10; i++) keys.learn(keyed(1), 1000, 2000);
  expect(keys.expectedTokens(keyed(1), 1000)).toBeGreaterThan(990);
  expect(keys.expectedTokens(keyed(1), 1000)).toBeLessThanOrEqual(1000);
});

it("of two API keys with the same hash the later takes its place, and knows nothing of the other", () => {
  const keys = new CacheKeys();
  keys.learn(keyed(1, "a"), 1000, null);
  expect(keys.expectedTokens(keyed(1, "b"), 1000)).toBe(0);
  for (let i = 0; i < 4; i++) expect(keys.learn(keyed(1, "b"), 500, 0)).toMatchObject({ added: [] });
  expect(keys.expectedTokens(keyed(1, "a"), 1000)).toBe(0);
  keys.learn(keyed(1, "a"), 1000, 0);
  expect(keys.expectedTokens(keyed(1, "a"), 1000)).toBe(1000);
});

describe("of two keys", () => {
  const turn = (conversation: number) => ({ keyId: "key", cacheKeys: [conversation, 9] });

  it("the first that is known tells what is cached, and is believed by what turns out", () => {
    const keys = new CacheKeys();
    expect(keys.learn(turn(1), 1000, 0)).toEqual({ added: [1, 9], forgotten: [] });
    expect(keys.expectedTokens(turn(1), 1000)).toBe(1000);
    expect(keys.expectedTokens(turn(2), 1000)).toBe(500);
    for (let i = 0; i < 4; i++) keys.learn(turn(1), 1000, 1000);
    expect(keys.expectedTokens(turn(2), 1000)).toBe(500);
    for (const conversation of [2, 3, 4, 5]) keys.learn(turn(conversation), 1000, 0);
    expect(keys.expectedTokens(turn(6), 1000)).toBe(31.25);
    expect(keys.expectedTokens(turn(5), 1000)).toBe(1000);
    expect(keys.expectedTokens(turn(1), 1000)).toBe(1000);
  });

  it("the second says as much of other conversations as they turn out to share", () => {
    const keys = new CacheKeys();
    for (let conversation = 10; conversation < 30; conversation++) {
      keys.learn(turn(conversation), 1000, 800);
    }
    expect(keys.expectedTokens(turn(1), 1000)).toBeCloseTo(800, 0);
    expect(keys.expectedTokens(turn(10), 1000)).toBe(1000);
  });
});

it("remembers so many at most, those that were used last", () => {
  const keys = new CacheKeys();
  for (let key = 0; key < CACHE_KEYS_PER_MACHINE; key++) keys.learn(keyed(key), 10, null);
  keys.learn(keyed(0), 10, null);
  expect(keys.learn(keyed(-1), 10, null)).toEqual({ added: [-1], forgotten: [1] });
  expect([...keys.all()]).toHaveLength(CACHE_KEYS_PER_MACHINE);
  expect([0, 1, 2, -1].map((key) => keys.expectedTokens(keyed(key), 10))).toEqual([10, 0, 10, 10]);
  keys.clear();
  expect([...keys.all()]).toEqual([]);
});

it("keeps nothing of the header that the id of an API key was cut from", () => {
  const keys = new CacheKeys();
  const before = heapBytes();
  for (let key = 0; key < CACHE_KEYS_PER_MACHINE; key++) {
    const [keyId] = `0123456789abcdef01 ${String(key).padEnd(100_000, "x")}`.split(" ");
    keys.learn(keyed(key, keyId), 10, null);
  }
  expect(heapBytes() - before).toBeLessThan(1_000_000);
  expect([...keys.all()]).toHaveLength(CACHE_KEYS_PER_MACHINE);
});

function heapBytes(): number {
  setFlagsFromString("--expose-gc");
  runInNewContext("gc()");
  return process.memoryUsage().heapUsed;
}
