import { epochSchema, machineIdSchema, modelIdSchema } from "../../protocol/ids.ts";
import { decodeRecords } from "../../protocol/records.ts";
import { M3_ULTRA } from "../../protocol/sample-hardware.ts";
import type { Heartbeat, Upstream } from "../../protocol/upstream.ts";
import { Agent } from "../../provider/src/agent.ts";
import type { HeldAssignment } from "../../provider/src/agent/assignment.ts";
import type { AgentConfig } from "../../provider/src/agent/config.ts";
import type { OfferedModel, Socket, SocketListener, Vitals } from "../../provider/src/agent/ports.ts";
import { FakeEngine } from "./fake-engine.ts";
import { settle, VirtualClock } from "./virtual-clock.ts";

/** The agent with nothing real around it: virtual time, sockets and engine, all in the test's hand. */

export interface HarnessOptions {
  readonly models?: readonly string[];
  /** The owner's choice of what to hold first; null for none. The first of `models` by default. */
  readonly firstModel?: string | null;
  readonly slots?: number;
  readonly contextTokens?: number | null;
  readonly privateOnly?: boolean;
  readonly holdLoads?: boolean;
  /** What the machine finds on its disk when it starts: the model, or null, and the epoch. */
  readonly assignment?: readonly [model: string | null, epoch: number];
  /** Bytes of each model file. */
  readonly sizeBytes?: number;
  /** What is known of models that are not on the disk. */
  readonly whyMissing?: (id: string) => string | null;
}

export class AgentHarness {
  readonly clock = new VirtualClock();
  readonly engine = new FakeEngine();
  readonly agent: Agent;
  /** Every socket that was ever dialed, the newest last. */
  readonly sockets: FakeSocket[] = [];
  readonly logged: string[] = [];
  /** Every assignment that was written to disk, the newest last. */
  readonly saves: HeldAssignment[] = [];
  /** Set to play a full disk. */
  failsToSave = false;
  vitals: Vitals = { memoryFreeGb: 10, memoryPressure: 0.2, thermalState: "nominal" };
  /** What the dice show. */
  random = 0.5;

  constructor({
    models = ["alpha"],
    firstModel = models[0] ?? null,
    slots = 4,
    contextTokens = 4096,
    privateOnly = false,
    holdLoads = false,
    assignment,
    sizeBytes = 1000,
    whyMissing = () => null,
  }: HarnessOptions = {}) {
    this.engine.holdLoads = holdLoads;
    const config: AgentConfig = {
      version: "0.7.0",
      machineId: machineIdSchema.parse("studio-7f3a"),
      sessionId: "session-1",
      publicKey: "key",
      hardware: M3_ULTRA,
      models: models.map((id) => offeredModel(id, sizeBytes)),
      firstModel: modelIdSchema.nullable().parse(firstModel),
      slots,
      contextTokens,
      privateOnly,
      assignment: assignment === undefined ? null : heldAssignment(...assignment),
    };
    const log = (message: string, fields: object = {}): void => {
      this.logged.push(`${message} ${JSON.stringify(fields)}`);
    };
    this.agent = new Agent(config, {
      clock: this.clock,
      random: () => this.random,
      dial: (pool, listener) => {
        const socket = new FakeSocket(pool, listener);
        this.sockets.push(socket);
        return socket;
      },
      engine: this.engine,
      // Answers are their plain text here: what an SSE event looks like is tested where it is made.
      attester: null,
      createAnswerEncoder: () => ({
        encode: (event) => new TextEncoder().encode("text" in event ? event.text : ""),
        finish: () => new TextEncoder().encode("."),
      }),
      vitals: () => this.vitals,
      saveAssignment: (held) => {
        if (this.failsToSave) throw new Error("no space left on the device");
        this.saves.push(held);
        this.engine.events.push(`save ${held.modelId} ${held.epoch}`);
      },
      whyMissing,
      log: { info: log, warn: log, error: log },
    });
  }

  /** The newest socket. */
  socket(): FakeSocket {
    const socket = this.sockets.at(-1);
    if (socket === undefined) throw new Error("nothing was dialed");
    return socket;
  }

  /** Sockets that are neither closed nor refused. */
  open(): FakeSocket[] {
    return this.sockets.filter((socket) => !socket.hasEnded);
  }

  /** Starts the agent and registers its first socket in `pool`. */
  async connected(pools: readonly string[] = ["alpha"], pool = pools[0] ?? "alpha"): Promise<FakeSocket> {
    this.agent.start();
    await settle();
    const socket = this.socket();
    socket.register({ pool, pools });
    await settle();
    return socket;
  }
}

/** A machine that serves two models, unmanaged, on a socket for each. */
export async function inTwoPools(): Promise<{ harness: AgentHarness; alpha: FakeSocket; beta: FakeSocket }> {
  const pools = ["alpha", "beta"];
  const harness = new AgentHarness({ models: pools });
  const alpha = await harness.connected(pools);
  const beta = harness.socket();
  beta.register({ pool: "beta", pools });
  return { harness, alpha, beta };
}

export function offeredModel(id: string, sizeBytes = 1000): OfferedModel {
  return { id: modelIdSchema.parse(id), path: `/models/${id}.gguf`, sizeBytes };
}

function heldAssignment(model: string | null, epoch: number): HeldAssignment {
  return { modelId: modelIdSchema.nullable().parse(model), epoch: epochSchema.parse(epoch) };
}

interface OrderFields {
  readonly pools?: readonly string[];
  readonly reason?: string;
  readonly drainMs?: number;
}

interface RegisteredFields {
  readonly pool: string;
  readonly pools: readonly string[];
  readonly epoch?: number;
  readonly modelId?: string | null;
  readonly heartbeatMs?: number;
  readonly flushMs?: number;
  readonly takesOffers?: boolean;
}

export class FakeSocket implements Socket {
  readonly pool: string;
  /** Decoded text frames, `ping` left out. */
  readonly sent: Upstream[] = [];
  readonly frames: Uint8Array[] = [];
  /** All that was sent, in order, one word each: `ping`, a message's type or `bytes`. */
  readonly order: string[] = [];
  closedWith: { readonly code: number; readonly reason: string } | null = null;
  wasTerminated = false;
  hasEnded = false;
  buffered = 0;
  /** Whether a `close` of the agent is answered. */
  answersClose = true;
  readonly #listener: SocketListener;

  constructor(pool: string, listener: SocketListener) {
    this.pool = pool;
    this.#listener = listener;
  }

  sendText(text: string): void {
    if (this.hasEnded) return;
    if (text === "ping") {
      this.order.push("ping");
      return;
    }
    const message = JSON.parse(text) as Upstream;
    this.sent.push(message);
    this.order.push(message.type);
  }

  sendBytes(bytes: Uint8Array): void {
    if (this.hasEnded) return;
    this.frames.push(bytes);
    this.order.push("bytes");
  }

  bufferedBytes(): number {
    return this.buffered;
  }

  close(code: number, reason: string): void {
    this.closedWith = { code, reason };
    if (this.answersClose) queueMicrotask(() => this.end(code, reason));
  }

  terminate(): void {
    this.wasTerminated = true;
    if (this.hasEnded) return;
    this.hasEnded = true;
    queueMicrotask(() => this.#listener.onEnd({ kind: "closed", code: 1006, reason: "" }));
  }

  // The coordinator's side.

  open(): void {
    this.#listener.onOpen();
  }

  text(text: string): void {
    this.#listener.onText(text);
  }

  receive(message: object): void {
    this.text(JSON.stringify(message));
  }

  end(code: number, reason = ""): void {
    if (this.hasEnded) return;
    this.hasEnded = true;
    this.#listener.onEnd({ kind: "closed", code, reason });
  }

  refuse(status: number, retryAfterMs: number | null = null, message = ""): void {
    this.hasEnded = true;
    this.#listener.onEnd({ kind: "refused", status, code: "some_code", message, retryAfterMs });
  }

  /** Opens and answers `register`. */
  register(fields: RegisteredFields): void {
    this.open();
    this.registered(fields);
  }

  /** Answers `register`, or says something else later. */
  registered({
    pool,
    pools,
    epoch = 0,
    modelId = null,
    heartbeatMs = 60_000,
    flushMs = 40,
    takesOffers,
  }: RegisteredFields): void {
    this.receive({
      type: "registered",
      machine_id: "studio-7f3a",
      pool,
      pools,
      assignment: { model_id: modelId, epoch, drain_ms: 30_000, load_ms: 180_000 },
      heartbeat_ms: heartbeatMs,
      flush_ms: flushMs,
      ...(takesOffers === undefined ? {} : { takes_offers: takesOffers }),
    });
  }

  /** Orders to hold a model, or none in particular. */
  assign(model: string | null, epoch: number, fields: OrderFields = {}): void {
    const {
      pools = model === null ? ["alpha", "beta"] : [model],
      reason = "pinned",
      drainMs = 30_000,
    } = fields;
    const order = { model_id: model, epoch, pools, reason, drain_ms: drainMs, load_ms: 180_000 };
    this.receive({ type: "assign_model", ...order });
  }

  /** Sends a chat request on `stream`. */
  request(stream: number, fields: object = {}): void {
    this.receive({
      type: "inference_request",
      request_id: `req_${stream}`,
      stream,
      endpoint: "/v1/chat/completions",
      model_id: "alpha",
      body: { model: "alpha", messages: [{ role: "user", content: "hello" }], stream: true },
      deadline_ms: 120_000,
      owner_bypass: false,
      ...fields,
    });
  }

  // What the agent said.

  ofType<T extends Upstream["type"]>(type: T): Extract<Upstream, { type: T }>[] {
    return this.sent.filter((message): message is Extract<Upstream, { type: T }> => message.type === type);
  }

  heartbeat(): Heartbeat {
    const heartbeat = this.ofType("heartbeat").at(-1);
    if (heartbeat === undefined) throw new Error("no heartbeat was sent");
    return heartbeat;
  }

  /** The statuses so far, as `model epoch status`, with the progress or the code if there is one. */
  statuses(): string[] {
    return this.ofType("assign_model_status").map(({ model_id, epoch, status, progress, error }) =>
      [model_id, epoch, status, ...[progress ?? error?.code ?? []].flat()].join(" "),
    );
  }

  /** The refusals and errors so far, as `stream class/code`. */
  errors(): string[] {
    return this.ofType("inference_error").map((error) => `${error.stream} ${error.class}/${error.code}`);
  }

  /** The text of one stream so far. */
  streamText(stream: number): string {
    let text = "";
    for (const record of this.records()) {
      if (record.stream === stream) text += new TextDecoder().decode(record.bytes);
    }
    return text;
  }

  records(): { stream: number; bytes: Uint8Array }[] {
    return this.frames.flatMap((frame) => {
      const records = decodeRecords(frame.slice().buffer);
      if (records === null) throw new Error("a frame does not add up");
      return [...records];
    });
  }
}
