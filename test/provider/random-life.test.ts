import { expect, it } from "vitest";

import { AgentHarness, offeredModel, type FakeSocket } from "../support/agent-harness.ts";
import { settle } from "../support/virtual-clock.ts";

/**
 * Lives of a machine made of random events: sockets that come and go, requests, orders, cancels, pauses, crashes,
 * time. Each machine starts with what another one might have left on its disk. After every event the promises that hold in any order are checked. A failure names its seed, which then repeats it exactly.
 */

const MODELS = ["alpha", "beta", "gamma"];
/** Comes to the disk while the machine runs. */
const LATER = "delta";
const SLOTS = 3;
const LIVES = 100;
const EVENTS = 120;

class Life {
  readonly harness: AgentHarness;
  readonly #random: () => number;
  readonly #happened: string[] = [];
  readonly #owners = new Set<number>();
  /** What each request asks for, by its stream. */
  readonly #models = new Map<number, string>();
  /** How much of what a socket was sent has been checked. */
  readonly #seen = new Map<FakeSocket, number>();
  #nextStream = 0;
  #hasLater = false;
  /** The newest order; the machine holds exactly this. */
  #newest: { model: string | null; epoch: number };

  constructor(seed: number) {
    this.#random = generator(seed);
    this.#newest = { model: null, epoch: 0 };
    const isRestart = this.#chance(0.4);
    if (isRestart) this.#newest = { model: this.#pick([...MODELS, null]) ?? null, epoch: 3 };
    this.harness = new AgentHarness({
      models: MODELS,
      slots: SLOTS,
      holdLoads: true,
      ...(isRestart ? { assignment: [this.#newest.model, this.#newest.epoch] } : {}),
    });
  }

  async live(): Promise<void> {
    this.harness.agent.start();
    for (let i = 0; i < EVENTS; i++) {
      this.#happened.push(this.#happen());
      this.harness.random = this.#random();
      await settle();
      this.#check();
      await this.harness.clock.advance(this.#pick([0, 10, 300, 3000, 25_000]) ?? 0);
      this.#check();
    }
    await this.#checkLastOrderWins();
    await this.#end();
  }

  /** The last events, for whoever looks for the cause of a failure. */
  story(): string {
    return this.#happened.slice(-15).join(", ");
  }

  #happen(): string {
    const socket = this.#pick(this.harness.open());
    const event = this.#pick(EVENT_KINDS) ?? "engine";
    if (socket === undefined && event !== "engine" && event !== "arrive") return "nothing to happen to";
    switch (event) {
      case "arrive":
        if (this.#hasLater || !this.#chance(0.3)) return "nothing arrives";
        this.#hasLater = true;
        this.harness.agent.offer(offeredModel(LATER));
        return `${LATER} arrives`;
      case "engine":
        return this.#engineEvent();
      case "register": {
        if (socket === undefined || socket.order.length > 0) return "no socket to register";
        const pool = this.#chance(0.8) ? socket.pool : (this.#pick(MODELS) ?? "alpha");
        const pools = [...MODELS, LATER].filter((model) => model === pool || this.#chance(0.7));
        // The coordinator tells what it knows, or what it knew a while ago.
        const isCurrent = this.#chance(0.7);
        const { model, epoch } = isCurrent ? this.#newest : { model: null, epoch: 0 };
        socket.register({ pool, pools, epoch, modelId: model });
        return `${pool} registered with ${pools.join(" ")}`;
      }
      case "end": {
        const code = this.#pick([1000, 1001, 1006, 1012, 4000, 4001, 4002, 4003, 4004]) ?? 1006;
        if (socket?.order.length === 0) socket.refuse(this.#pick([401, 404, 429, 500, 503]) ?? 500, 1000);
        else socket?.end(code);
        return `${socket?.pool} ended with ${code}`;
      }
      case "pong":
        for (const open of this.harness.open()) open.text("pong");
        return "pong";
      case "request": {
        if (socket === undefined || socket.order.length === 0) return "no socket for a request";
        const stream = this.#nextStream++;
        const isOwner = this.#chance(0.2);
        if (isOwner) this.#owners.add(stream);
        const deadlineMs = this.#pick([500, 60_000, 600_000]);
        const model = this.#pick([...MODELS, LATER]) ?? "alpha";
        this.#models.set(stream, model);
        socket.request(stream, {
          model_id: model,
          deadline_ms: deadlineMs,
          owner_bypass: isOwner,
          body: { messages: [], stream_number: stream },
        });
        return `request ${stream}`;
      }
      case "order":
        if (socket === undefined || socket.order.length === 0) return "no socket for an order";
        return this.#order(socket);
      case "control": {
        if (socket === undefined || socket.order.length === 0) return "no socket to control";
        const type = this.#pick(["cancel", "pause", "resume"]) ?? "cancel";
        const stream = Math.floor(this.#random() * this.#nextStream);
        socket.receive({ type, stream, request_id: `req_${stream}` });
        return `${type} ${stream}`;
      }
    }
  }

  /** Mostly a new order; sometimes one that is repeated, late or contradicts the newest. */
  #order(socket: FakeSocket): string {
    // A socket that this machine is closing does not listen any more.
    if (socket.closedWith !== null) return "no socket for an order";
    const epoch = Math.max(0, this.#newest.epoch + (this.#pick([1, 1, 1, 5, 0, 0, -1]) ?? 1));
    const model = this.#pick([...MODELS, LATER, null]) ?? null;
    const pools = model === null ? MODELS : [model];
    socket.assign(model, epoch, { pools, drainMs: this.#pick([0, 1000, 30_000]) ?? 0 });
    if (epoch > this.#newest.epoch) this.#newest = { model, epoch };
    return `order ${model} ${epoch}`;
  }

  /** What was said since the last look fits the newest order: its epoch, and for the public its model. */
  #checkOrders(): void {
    const { harness } = this;
    const { model: assigned, epoch } = this.#newest;
    for (const socket of harness.sockets) {
      const news = socket.sent.slice(this.#seen.get(socket) ?? 0);
      this.#seen.set(socket, socket.sent.length);
      for (const message of news) {
        if (message.type === "assign_model_status") {
          expect(message.epoch, "a status of a superseded epoch").toBe(epoch);
        }
        if (message.type !== "inference_accepted" || assigned === null) continue;
        if (this.#owners.has(message.stream)) continue;
        expect(this.#models.get(message.stream), "served another model than the assigned one").toBe(assigned);
      }
    }
    expect(harness.agent.status().assignment?.model ?? null, "another order than the newest").toBe(assigned);
  }

  /** Left alone with an engine that works, the machine ends up where the newest order wants it. */
  async #checkLastOrderWins(): Promise<void> {
    const { harness } = this;
    harness.engine.holdLoads = false;
    for (let i = 0; i < 40; i++) {
      for (const load of harness.engine.loads) {
        load.succeed();
        for (const run of load.loaded.runs) run.finish();
      }
      for (const socket of harness.open()) socket.text("pong");
      await harness.clock.advance(5000);
    }
    if (this.#newest.model === null) return;
    const { state, model } = harness.agent.status();
    if (state !== "failed") expect([state, model]).toEqual(["serving", this.#newest.model]);
  }

  #engineEvent(): string {
    const load = this.harness.engine.loads.at(-1);
    if (load === undefined) return "no engine";
    const run = this.#pick(load.loaded.runs);
    const event = this.#pick(["load", "load", "write", "write", "finish", "finish", "fail load", "die"]);
    switch (event) {
      case "load":
        load.succeed();
        break;
      case "write":
        if (run !== undefined && !run.hasEnded) void run.write(this.#text());
        break;
      case "finish":
        run?.finish();
        break;
      case "fail load":
        load.fail();
        break;
      case "die":
      case undefined:
        if (this.#chance(0.3)) load.loaded.die();
    }
    return `engine: ${event}`;
  }

  #check(): void {
    const { harness } = this;
    const status = harness.agent.status();
    expect(status.running, "more requests than slots").toBeLessThanOrEqual(SLOTS);
    expect(held(harness), "two models at once").toBeLessThanOrEqual(1);
    for (const socket of harness.sockets) checkAnswers(socket);
    this.#checkOrders();
    // H7: out of reach is only who has a dial under way or due.
    if (harness.open().length === 0) expect(status.nextDialAt, "out of reach for ever").not.toBeNull();
    const pools = harness.open().filter(({ order }) => order.length > 0);
    expect(pools.length, "sockets pile up").toBeLessThanOrEqual(2 * (MODELS.length + 1));
  }

  /** A stop leaves nothing behind, whatever came before it. */
  async #end(): Promise<void> {
    const { agent, clock } = this.harness;
    agent.stop();
    await clock.advance(600_000);
    await agent.finished;
    expect(agent.status()).toMatchObject({ state: "stopping", running: 0, pools: 0 });
    expect(held(this.harness)).toBe(0);
    for (const socket of this.harness.sockets) checkBytes(socket, this.harness);
    expect(clock.pending()).toBe(0);
  }

  /** Unlike what was written before, so that a lost or doubled piece shows. */
  #text(): string {
    const piece = `${this.#happened.length} `;
    return piece.repeat(this.#pick([1, 300, 100_000]) ?? 1);
  }

  #pick<T>(choices: readonly T[]): T | undefined {
    return choices[Math.floor(this.#random() * choices.length)];
  }

  #chance(probability: number): boolean {
    return this.#random() < probability;
  }
}

const EVENT_KINDS = [
  ...Array.from({ length: 6 }, () => "engine" as const),
  ...Array.from({ length: 5 }, () => "request" as const),
  ...Array.from({ length: 3 }, () => "control" as const),
  ...Array.from({ length: 3 }, () => "register" as const),
  "pong",
  "pong",
  "order",
  "order",
  "end",
  "arrive",
] as const;

/** Models that have been loaded and neither unloaded nor died since. */
function held(harness: AgentHarness): number {
  return harness.engine.loads.filter(({ loaded }) => loaded.isHeld).length;
}

/** Each request was accepted at most once and answered at most once, never before it was accepted and completed. */
function checkAnswers(socket: FakeSocket): void {
  const accepted = new Set<number>();
  const answered = new Set<number>();
  for (const message of socket.sent) {
    if (message.type === "inference_accepted") {
      expect(accepted.has(message.stream), "accepted twice").toBe(false);
      expect(answered.has(message.stream), "accepted after the answer").toBe(false);
      accepted.add(message.stream);
    }
    if (message.type === "inference_complete" || message.type === "inference_error") {
      expect(answered.has(message.stream), "answered twice").toBe(false);
      answered.add(message.stream);
      const isCapacity = message.type === "inference_error" && message.class === "capacity";
      const isRefusal = isCapacity && message.code !== "switching_model";
      // D3: a refusal comes before the request is accepted, but for the end of a drain (H16).
      if (isRefusal) expect(accepted.has(message.stream), "refused after it was accepted").toBe(false);
      if (message.type === "inference_complete") expect(accepted.has(message.stream)).toBe(true);
    }
  }
}

/** What was completed arrived whole and in order, whatever pauses there were. */
function checkBytes(socket: FakeSocket, harness: AgentHarness): void {
  for (const { stream } of socket.ofType("inference_complete")) {
    const run = harness.engine.loads
      .flatMap(({ loaded }) => loaded.runs)
      .find(({ request }) => request.body["stream_number"] === stream);
    expect(socket.streamText(stream) === `${run?.written}.`, `stream ${stream} is not whole`).toBe(true);
  }
}

function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

it(`[D3] [D4] [F14] [H7] [H9] [H12] keeps its promises in ${LIVES} random lives`, async () => {
  for (let seed = 1; seed <= LIVES; seed++) {
    const life = new Life(seed);
    try {
      await life.live();
    } catch (error) {
      throw new Error(`seed ${seed}: ${String(error)} after: ${life.story()}`, { cause: error });
    }
  }
});
