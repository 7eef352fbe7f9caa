import type { ChildProcess } from "node:child_process";

import { expect } from "vitest";

import { tinyModel } from "../../scripts/tiny-model.ts";
import { until, type Stack } from "./stack.ts";

/** What the tests of client libraries ask, and what happens to them meanwhile. */

export const WHO = "Who are you?";

/** About 400 tokens: long enough to be cut in the middle. The grammar is our engine's own field. */
export const LONG_GRAMMAR =
  "root ::= part part part part part part part part part part part part\npart ::= [a-zA-Z ,.;:!?'\\n-]{100}";

/** More than the tiny models' context of 1,024 tokens takes. */
export const TOO_LONG = "Who are you, and who is it that asks? ".repeat(400);

/** A coordinator with one machine that answers one request at a time. */
export async function startOneSlot(stack: Stack, machineId: string): Promise<ChildProcess> {
  await stack.startCoordinator();
  await stack.admin.addToCatalog([tinyModel("tiny-bard")]);
  return stack.startProvider(machineId, "tiny-bard", ["--slots", "1"]);
}

interface Attempt {
  readonly sentAt: number;
  readonly status: number;
  readonly retryAfterMs: number;
}

/** A client's `fetch` that writes down what came of each attempt. */
export interface WatchedFetch {
  readonly fetch: typeof fetch;
  readonly attempts: readonly Attempt[];
}

/** @param onRefused has done its work before the client hears of the refusal. */
export function watchFetch(onRefused: () => Promise<unknown> = () => Promise.resolve()): WatchedFetch {
  const attempts: Attempt[] = [];
  return {
    attempts,
    async fetch(input, init) {
      const sentAt = performance.now();
      const response = await fetch(input, init);
      // The exact one of the two, which SDKs read first.
      const retryAfterMs = Number(response.headers.get("retry-after-ms"));
      attempts.push({ sentAt, status: response.status, retryAfterMs });
      if (response.status === 429) await onRefused();
      return response;
    },
  };
}

export const statusesOf = ({ attempts }: WatchedFetch): number[] => attempts.map(({ status }) => status);

/**
 * Lets the first request to come be refused with 429 `queue_full`, and the next one find a free slot: until then the
 * machine is held in the middle of another request, and nobody may wait in line.
 */
export async function refuseOnce(
  stack: Stack,
  machineId: string,
  machine: ChildProcess,
): Promise<WatchedFetch> {
  await stack.admin.setFlag("queue_max", "0");
  machine.kill("SIGSTOP");
  const other = stack.client().chat.completions.create({
    model: "tiny-bard",
    messages: [{ role: "user", content: WHO }],
    max_tokens: 4,
  });
  await until(async () => (await stack.admin.machine(machineId)).in_flight === 1 || null);
  return watchFetch(() => {
    machine.kill("SIGCONT");
    return other;
  });
}

/** Expects one refusal, and its answer no sooner after it than the refusal had said. */
export function expectPatience(watched: WatchedFetch): void {
  const [refused, answered] = watched.attempts;
  expect(statusesOf(watched)).toEqual([429, 200]);
  expect(refused?.retryAfterMs).toBeGreaterThanOrEqual(1_000);
  const waitedMs = (answered?.sentAt ?? 0) - (refused?.sentAt ?? 0);
  expect(waitedMs).toBeGreaterThanOrEqual(refused?.retryAfterMs ?? Infinity);
}
