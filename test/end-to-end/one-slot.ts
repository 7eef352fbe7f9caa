import type { ChildProcess } from "node:child_process";

import { afterAll, beforeAll } from "vitest";

import { tinyModel } from "../../scripts/tiny-model.ts";
import { watchFetch, WHO, type WatchedFetch } from "./questions.ts";
import { Stack, until } from "./stack.ts";

/** A coordinator with one machine that answers one request at a time. */
export class OneSlot {
  readonly stack = new Stack();
  readonly #machineId: string;
  #machine: ChildProcess | null = null;

  constructor(machineId: string) {
    this.#machineId = machineId;
  }

  async start(): Promise<void> {
    await this.stack.startCoordinator();
    await this.stack.admin.addToCatalog([tinyModel("tiny-bard")]);
    this.#machine = await this.stack.startProvider(this.#machineId, "tiny-bard", ["--slots", "1"]);
  }

  /** The machine is gone, and nobody has said goodbye. */
  killMachine(): void {
    this.#machine?.kill("SIGKILL");
  }

  /**
   * Lets the first request to come be refused with 429 `queue_full`, and the next one find a free slot: until then the
   * machine is held in the middle of another request, and nobody may wait in line.
   */
  async refuseOnce(): Promise<WatchedFetch> {
    await this.stack.admin.setFlag("queue_max", "0");
    this.#machine?.kill("SIGSTOP");
    const other = this.stack.client().chat.completions.create({
      model: "tiny-bard",
      messages: [{ role: "user", content: WHO }],
      max_tokens: 4,
    });
    await until(async () => (await this.stack.admin.machine(this.#machineId)).in_flight === 1 || null);
    return watchFetch(() => {
      this.#machine?.kill("SIGCONT");
      return other;
    });
  }
}

/** One for all tests of a file. */
export function useOneSlot(machineId: string): OneSlot {
  const oneSlot = new OneSlot(machineId);
  beforeAll(() => oneSlot.start());
  afterAll(() => oneSlot.stack.stop());
  return oneSlot;
}
