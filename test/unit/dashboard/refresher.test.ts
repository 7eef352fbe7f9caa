import { afterEach, beforeEach, expect, it, vi } from "vitest";

import { Refresher } from "../../../dashboard/refresher.js";

/** When the page reads: only while somebody looks, and never faster than it is answered. */

const EVERY_MS = 5_000;

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

function scene() {
  const state = { reads: 0, isWatched: true, answer: (): void => {} };
  let isSlow = false;
  const refresher = new Refresher(
    () => {
      state.reads += 1;
      if (!isSlow) return Promise.resolve();
      const { promise, resolve } = Promise.withResolvers<void>();
      state.answer = resolve;
      return promise;
    },
    EVERY_MS,
    () => state.isWatched,
  );
  return { state, refresher, slow: () => (isSlow = true) };
}

it("reads at once and then every five seconds", async () => {
  const { state, refresher } = scene();
  await refresher.now();
  expect(state.reads).toBe(1);
  await vi.advanceTimersByTimeAsync(2 * EVERY_MS);
  expect(state.reads).toBe(3);
});

it("does not read while nobody looks, and makes up for it at once", async () => {
  const { state, refresher } = scene();
  await refresher.now();
  state.isWatched = false;
  await vi.advanceTimersByTimeAsync(10 * EVERY_MS);
  expect(state.reads).toBe(1);
  state.isWatched = true;
  refresher.look();
  expect(state.reads).toBe(2);
  await vi.advanceTimersByTimeAsync(EVERY_MS);
  expect(state.reads).toBe(3);
});

it("does not read more often because somebody looks more often", async () => {
  const { state, refresher } = scene();
  await refresher.now();
  await vi.advanceTimersByTimeAsync(EVERY_MS / 2);
  refresher.look();
  refresher.look();
  expect(state.reads).toBe(1);
  await vi.advanceTimersByTimeAsync(EVERY_MS / 2);
  expect(state.reads).toBe(2);
});

it("reads on demand while paused, once", async () => {
  const { state, refresher } = scene();
  await refresher.now();
  state.isWatched = false;
  await refresher.now();
  await vi.advanceTimersByTimeAsync(10 * EVERY_MS);
  expect(state.reads).toBe(2);
});

it("waits for an answer before it counts the seconds to the next one", async () => {
  const { state, refresher, slow } = scene();
  slow();
  void refresher.now();
  await vi.advanceTimersByTimeAsync(10 * EVERY_MS);
  void refresher.now();
  expect(state.reads).toBe(1);
  state.answer();
  await vi.advanceTimersByTimeAsync(EVERY_MS - 1);
  expect(state.reads).toBe(1);
  await vi.advanceTimersByTimeAsync(1);
  expect(state.reads).toBe(2);
});

it("reads again after a change if a reading was under way, which may have begun before it", async () => {
  const { state, refresher, slow } = scene();
  slow();
  void refresher.now();
  void refresher.anew();
  void refresher.anew();
  expect(state.reads).toBe(1);
  state.answer();
  await vi.advanceTimersByTimeAsync(0);
  expect(state.reads).toBe(2);
  state.answer();
  await vi.advanceTimersByTimeAsync(EVERY_MS - 1);
  expect(state.reads).toBe(2);
});

it("reads at once after a change if nothing was under way, also while paused", async () => {
  const { state, refresher } = scene();
  await refresher.now();
  state.isWatched = false;
  await refresher.anew();
  expect(state.reads).toBe(2);
});

it("reads no more once it is stopped, also if it was reading", async () => {
  const { state, refresher, slow } = scene();
  slow();
  void refresher.now();
  refresher.stop();
  state.answer();
  await vi.advanceTimersByTimeAsync(10 * EVERY_MS);
  refresher.look();
  expect(state.reads).toBe(1);
});
