import fc from "fast-check";
import { expect, it } from "vitest";

import { Assignments } from "../../../../core/pool/assignments.ts";
import { isManaged, type RecordMode, type Verdict } from "../../../../core/pool/record.ts";
import { modelIdSchema, type ModelId } from "../../../../protocol/ids.ts";
import { MemoryRecordStore } from "../../../../simulator/handover/stores.ts";
import { A, B, C, FleetScene, MAC, type Made } from "./fleet-scene.ts";

/** Orders to and fro among three pools that answer when they like, and steps back, after which nobody knows how far they are. */

const POOLS = [A, B, C];

type Step =
  | { readonly kind: "order"; readonly model: ModelId | null }
  | { readonly kind: "answer"; readonly pools: readonly ModelId[] }
  | { readonly kind: "obey" | "dial"; readonly pool: ModelId }
  | { readonly kind: "wait" | "restart" | "step back" | "given anew" };

const somePool = fc.constantFrom(...POOLS);
const someStep: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constant("order"), model: fc.constantFrom(null, ...POOLS) }),
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("answer"), pools: fc.subarray(POOLS) }) },
  fc.record({ kind: fc.constantFrom("obey", "dial"), pool: somePool }),
  fc.record({ kind: fc.constant("wait") }),
  fc.record({ kind: fc.constantFrom("restart", "step back", "given anew", "given anew") }),
);

class World {
  readonly #scene = new FleetScene();
  readonly #records = new Map(
    POOLS.map((pool) => [pool, new Assignments(pool, new MemoryRecordStore(), () => {})]),
  );
  #calls: Made[] = [];

  /** The machine serves all three models, unmanaged. */
  constructor() {
    this.#scene.join(...POOLS);
    this.#scene.calls();
  }

  act(next: Step): void {
    const { core, now } = this.#scene;
    switch (next.kind) {
      case "order":
        if (next.model === null) core.orders.release(MAC, "by hand", now);
        else core.orders.assign(MAC, next.model, "by hand", false, now);
        break;
      case "answer":
        this.#answer(next.pools);
        break;
      case "obey":
        this.#obey(next.pool);
        break;
      case "dial":
        this.#dial(next.pool);
        break;
      case "wait":
        this.#wait();
        break;
      case "restart":
        this.#restart();
        break;
      case "step back":
      case "given anew":
        this.#forgetHowFar();
        this.#restart();
        if (next.kind === "given anew") for (let i = 0; i < 2; i++) this.#wait();
    }
    this.#calls.push(...this.#scene.calls());
  }

  /** What the pools have on record. */
  modes(): RecordMode[] {
    return POOLS.map((name) => this.#at(name).get(MAC)?.mode ?? "unmanaged");
  }

  #wait(): void {
    const { core, now } = this.#scene;
    core.retry((this.#scene.now = Math.max(now, core.nextWakeAt() ?? now)));
  }

  /** Calls to these pools arrive, and their answers, and the calls that follow from them, until none of theirs is under way. */
  #answer(pools: readonly ModelId[]): void {
    for (let at = this.#nextFor(pools); at >= 0; at = this.#nextFor(pools)) {
      for (const { pool: name, call } of this.#calls.splice(at, 1)) {
        const verdict = this.#perform(modelIdSchema.parse(name), call);
        if (verdict === null) continue;
        this.#scene.core.replied(name, call, { kind: "verdict", verdict }, this.#scene.now);
      }
      this.#calls.push(...this.#scene.calls());
    }
  }

  #nextFor(pools: readonly string[]): number {
    return this.#calls.findIndex((made) => pools.includes(made.pool));
  }

  #perform(pool: ModelId, call: Made["call"]): Verdict | null {
    const { now } = this.#scene;
    if (call.kind === "expect") return this.#at(pool).expect(MAC, call.epoch, call.terms, now);
    if (call.kind !== "release" && call.kind !== "unmanage") return null;
    return this.#at(pool)[call.kind](MAC, call.epoch, now);
  }

  #obey(pool: ModelId): void {
    const records = this.#at(pool);
    const epoch = records.get(MAC)?.epoch;
    if (epoch === undefined) return;
    const status = { type: "assign_model_status", model_id: pool, epoch, status: "succeeded" } as const;
    records.status(MAC, status, this.#scene.now);
    const mode = records.get(MAC)?.mode;
    if (mode === "assigned") this.#scene.observe(pool, mode, epoch);
  }

  #dial(pool: ModelId): void {
    const verdict = this.#scene.dial(pool);
    if (verdict.ok) this.#at(verdict.pool).stamp(MAC, verdict.stamp, this.#scene.now);
    // A machine may dial only so often.
    this.#scene.now += 60_000;
  }

  #forgetHowFar(): void {
    const unread = { phase: "releasing", outcome: null, pending: [], holders: [], rounds: 0 } as const;
    for (const intent of this.#scene.store.intents())
      this.#scene.store.saveIntent({ ...intent, ...unread, retryAt: this.#scene.now });
  }

  #restart(): void {
    this.#calls = [];
    this.#scene.restart();
  }

  #at(pool: ModelId): Assignments {
    const records = this.#records.get(pool);
    if (records === undefined) throw new Error(`no pool ${pool}`);
    return records;
  }
}

const order = (model: ModelId | null): Step => ({ kind: "order", model });
const answer = (...pools: ModelId[]): Step => ({ kind: "answer", pools });
const givenAnew: Step = { kind: "given anew" };

/** The other two of three pools. */
const RELEASED = ["released", "released"];

/** It is a's, and nobody knows. */
const isOnRecordInA = [order(B), answer(...POOLS), order(A), answer(...POOLS), givenAnew];

const EXAMPLES = [
  [...isOnRecordInA, order(null), givenAnew, answer(B)],
  [...isOnRecordInA, order(C), givenAnew, order(null), answer(B, C)],
];

it("[H1] [H17] no pool routes to a machine that another one has on record, however many orders and steps back there were", () => {
  fc.assert(
    fc.property(fc.array(someStep, { maxLength: 60, size: "max" }), (steps) => {
      const world = new World();
      for (const next of steps) {
        world.act(next);
        const modes = world.modes();
        const isHeld = modes.some(isManaged);
        expect(isHeld ? modes.filter((mode) => !isManaged(mode)) : RELEASED).toEqual(RELEASED);
      }
    }),
    { numRuns: 500, examples: EXAMPLES.map((steps): [Step[]] => [steps]) },
  );
});
