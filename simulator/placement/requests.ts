import { type ApiError, isRateLimit } from "../../core/api-error.ts";
import type { Pool } from "../../core/pool/pool.ts";
import type { Answer } from "../../core/pool/request.ts";
import { type Coordinator, SLOTS } from "./coordinator.ts";
import { type Random, randomFrom } from "./random.ts";
import type { Scenario, Window } from "./scenario.ts";

export interface Outcomes {
  readonly served: number;
  readonly refused: number;
  readonly falseRefusals: number;
}

/**
 * A stretch of the replay in which every request is one: it is submitted to the real pool, waits in its line, is routed by its gate and
 * answered by a machine. A 429 that a client gets while the pool has a routable machine with a free slot is false (M7).
 */
export class RequestWindow {
  readonly outcomes = { served: 0, refused: 0, falseRefusals: 0 };
  readonly #coordinator: Coordinator;
  readonly #scenario: Scenario;
  readonly #window: Window;
  readonly #random: Random;
  #count = 0;

  constructor(coordinator: Coordinator, scenario: Scenario, window: Window) {
    this.#coordinator = coordinator;
    this.#scenario = scenario;
    this.#window = window;
    this.#random = randomFrom(scenario.seed + 17);
  }

  has(minute: number): boolean {
    return minute >= this.#window.first && minute <= this.#window.last;
  }

  /** Draws when in the minute each request comes. */
  schedule(minute: number, demand: readonly number[], at: number): void {
    const { clock, pools } = this.#coordinator;
    for (const [model, pool] of pools.entries()) {
      const wanted = (demand[model] ?? 0) * this.#scenario.requestsPerMinute;
      const whole = Math.floor(wanted) + (this.#random() < wanted - Math.floor(wanted) ? 1 : 0);
      for (let index = 0; index < whole; index += 1) {
        clock.after(at + Math.floor(this.#random() * 58_000) - clock.now(), () => this.#submit(pool, minute));
      }
    }
  }

  #submit(pool: Pool, minute: number): void {
    const { clock } = this.#coordinator;
    const now = clock.now();
    const spec = {
      requestId: `req_${minute}_${this.#count++}`,
      endpoint: "/v1/chat/completions",
      model: pool.model,
      owner: null,
      body: "{}",
      stream: true,
      keyId: "simulation",
      prefix: [],
      cacheKeys: [],
      priority: "normal" as const,
      reservation: null,
      contextLength: 32_768,
      answerTokens: null,
      slotsPerMachine: SLOTS,
      arrivedAt: now,
      deadlineAt: now + 600_000,
    };
    this.#coordinator.act(() => pool.submit(spec, this.#answer(pool), now));
  }

  #answer(pool: Pool): Answer {
    return {
      complete: () => {},
      refuse: (error) => this.#refused(pool, error),
      write: () => 0,
      finish: () => {
        this.outcomes.served += 1;
      },
      breakOff: (error) => this.#refused(pool, error),
    };
  }

  #refused(pool: Pool, { code }: ApiError): void {
    this.outcomes.refused += 1;
    // One whose machine went away had room.
    if (!isRateLimit(code)) return;
    const { machines } = pool.report(this.#coordinator.clock.now(), SLOTS);
    if (machines.some(({ blockedBy, freeSlots }) => blockedBy === null && freeSlots > 0))
      this.outcomes.falseRefusals += 1;
  }
}
