import { WebSocket } from "ws";
import { z } from "zod";

import { PING, PING_INTERVAL_MS, PONG } from "../../protocol/limits.ts";
import { encodeRecords } from "../../protocol/records.ts";
import { M3_ULTRA } from "../../protocol/sample-hardware.ts";
import { PROTOCOL_VERSION, SUBPROTOCOL } from "../../protocol/version.ts";
import { Outbox } from "../../provider/src/agent/outbox.ts";
import { COMPLETION, numberedWord, parseWork, play, questionIn, tokenOf } from "./work.ts";

const messageSchema = z.looseObject({ type: z.string() });
const requestSchema = z.object({
  request_id: z.string(),
  stream: z.int(),
  flush_ms: z.int(),
  body: z.object({
    model: z.string(),
    stream: z.boolean().optional(),
    messages: z.array(z.object({ content: z.string() })),
  }),
});

/** What it is answering. */
export interface Job {
  /** The number in the prompt; null if there is none. */
  readonly question: number | null;
  readonly startedAt: number;
  /** Whether a byte of the answer has been written. */
  begun: boolean;
}

/**
 * A machine without an engine. Its bytes go through the provider's real `Outbox`. It knows best how many slots it has
 * free, since when, and how long a request takes it.
 */
export class MockProvider {
  readonly #socket: WebSocket;
  readonly #outbox: Outbox;
  readonly #ping: NodeJS.Timeout;
  readonly #slots: number;
  readonly #jobs = new Map<number, Job>();
  /** Milliseconds, as of `performance.now()`; null while it has no free slot. */
  #freeSince: number | null = null;
  readonly registered: Promise<void>;
  /** Requests answered to the end, and how long they took in all. */
  readonly served = { requests: 0, totalMs: 0 };

  constructor(url: string, token: string, model: string, machineId: string, slots: number) {
    this.#slots = slots;
    const address = `${url.replace("http", "ws")}/v1/providers/connect?machine=${machineId}&pool=${model}`;
    this.#socket = new WebSocket(address, SUBPROTOCOL, {
      headers: { authorization: `Bearer ${token}` },
      perMessageDeflate: false,
    });
    this.#outbox = new Outbox(
      {
        now: () => Date.now(),
        after: (delayMs, run) => {
          const timer = setTimeout(run, delayMs);
          return () => clearTimeout(timer);
        },
      },
      {
        sendText: (text) => this.#socket.send(text),
        sendBytes: (bytes) => this.#socket.send(bytes),
        bufferedBytes: () => this.#socket.bufferedAmount,
        close: () => this.close(),
        terminate: () => this.close(),
      },
    );
    this.#ping = setInterval(() => {
      if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(PING);
    }, PING_INTERVAL_MS);
    this.registered = new Promise((resolve, reject) => {
      this.#socket.on("error", reject);
      this.#socket.on("close", (code) => reject(new Error(`socket closed with ${code}`)));
      this.#socket.on("open", () => this.#send(registerMessage(machineId, model, slots)));
      this.#socket.on("message", (data: Buffer) => this.#receive(data.toString(), resolve));
    });
    this.registered.catch(() => undefined);
  }

  get isOpen(): boolean {
    return this.#socket.readyState === WebSocket.OPEN;
  }

  /** What it is answering now. */
  get jobs(): readonly Job[] {
    return [...this.#jobs.values()];
  }

  /** For how long it has had a free slot without a break, in milliseconds; 0 if it has none. */
  freeForMs(): number {
    return this.isOpen && this.#freeSince !== null ? performance.now() - this.#freeSince : 0;
  }

  close(): void {
    clearInterval(this.#ping);
    this.#outbox.close();
    this.#socket.terminate();
  }

  #receive(text: string, onRegistered: () => void): void {
    if (text === PONG) return;
    const json: unknown = JSON.parse(text);
    const { type } = messageSchema.parse(json);
    if (type === "registered") {
      this.#freeSince ??= performance.now();
      onRegistered();
    }
    const stream = messageSchema.parse(json)["stream"];
    if (type === "pause" && typeof stream === "number") this.#outbox.pause(stream);
    if (type === "resume" && typeof stream === "number") this.#outbox.resume(stream);
    if (type === "inference_request") this.#run(requestSchema.parse(json));
  }

  #run({ request_id, stream, body, flush_ms }: z.infer<typeof requestSchema>): void {
    this.#send({ type: "inference_accepted", request_id, stream });
    this.#outbox.setFlushInterval(flush_ms);
    this.#outbox.open(stream);
    const work = parseWork(body.model);
    const job = this.#take(stream, body.messages.at(-1)?.content ?? "");
    const write = (bytes: Buffer): void => {
      job.begun = true;
      // At full speed the outbox would join records; that row wants ten tokens in each.
      if (work.intervalMs > 0 || body.stream !== true) void this.#outbox.write(stream, bytes);
      else this.#socket.send(encodeRecords([{ stream, chunks: [bytes] }]));
    };
    const complete = {
      type: "inference_complete",
      request_id,
      stream,
      usage: { prompt_tokens: 20, completion_tokens: work.tokens },
      finish_reason: "stop",
      timings: { queue_ms: 0, prefill_ms: 0, decode_ms: 1 },
    };
    const end = (): void =>
      this.#outbox.end(stream, () => {
        this.#send(complete);
        this.#free(stream, job);
      });
    const { question } = job;
    if (body.stream !== true) {
      write(COMPLETION);
      end();
    } else if (question === null) {
      play(work, write, end);
    } else {
      play(work, write, end, (index) => tokenOf(numberedWord(question, index)));
    }
  }

  #take(stream: number, prompt: string): Job {
    const job = { question: questionIn(prompt), startedAt: performance.now(), begun: false };
    this.#jobs.set(stream, job);
    if (this.#jobs.size >= this.#slots) this.#freeSince = null;
    return job;
  }

  #free(stream: number, job: Job): void {
    const now = performance.now();
    this.#jobs.delete(stream);
    if (this.#jobs.size < this.#slots) this.#freeSince ??= now;
    this.served.requests += 1;
    this.served.totalMs += now - job.startedAt;
  }

  #send(message: object): void {
    this.#socket.send(JSON.stringify(message));
  }
}

function registerMessage(machineId: string, model: string, slots: number): object {
  return {
    type: "register",
    protocol: PROTOCOL_VERSION,
    version: "0.7.0",
    machine_id: machineId,
    session_id: "bench",
    backend: "mock",
    public_key: `key-of-${machineId}`,
    hardware: M3_ULTRA,
    models: [{ id: model, size_bytes: 1_000_000 }],
    loaded_models: [model],
    max_concurrency: slots,
    assignment: null,
  };
}
