import { BYTES_PER_TOKEN } from "../../core/limits.ts";
import { EMPTY_LEDGER } from "../../core/pool/ledger.ts";
import { Pool } from "../../core/pool/pool.ts";
import { NO_SLEEPERS } from "../../core/pool/ports.ts";
import type { Answer } from "../../core/pool/request.ts";
import { INITIAL_SETTINGS } from "../../core/pool/settings.ts";
import { prefixOf, type Prompt } from "../../core/prefix.ts";
import { machineIdSchema, modelIdSchema, NEVER_MANAGED } from "../../protocol/ids.ts";
import { encodeRecords } from "../../protocol/records.ts";
import { M3_ULTRA } from "../../protocol/sample-hardware.ts";
import type { Turn } from "./conversations.ts";
import { SimulatedMac, type Speeds, type Words } from "./machine.ts";

/** Conversations through the real pool, with simulated machines and a virtual clock. */

const MODEL = modelIdSchema.parse("m");
const TICK_MS = 250;
const COLON = ":".charCodeAt(0);
const TOKENS = new TextEncoder().encode("data: x\n\n");
const END = new TextEncoder().encode("data: [DONE]\n\n");

export interface Served {
  readonly turn: Turn;
  readonly firstTokenMs: number;
}

export interface Replay {
  readonly served: readonly Served[];
  readonly refused: number;
  /** Share of the tokens of all prompts that machines had in their cache. */
  readonly cachedShare: number;
}

/** @param pace how many times as fast as in the trace requests come. */
export function replay(
  turns: readonly Turn[],
  machines: number,
  speeds: Speeds,
  pace: number,
  hints: Hints,
): Replay {
  return new Life(turns, machines, speeds, pace, hints).run();
}

/** What the edge tells the pool of a prompt. */
export type Hints = "none" | "blocks" | "blocks and conversation";

export function meanFirstTokenMs({ served }: Replay): number {
  return served.reduce((sum, { firstTokenMs }) => sum + firstTokenMs, 0) / Math.max(1, served.length);
}

class Life {
  readonly #turns: readonly Turn[];
  readonly #pace: number;
  readonly #hints: Hints;
  readonly #pool: Pool;
  readonly #later: { readonly at: number; readonly run: () => void }[] = [];
  readonly #served: Served[] = [];
  #now = 0;
  #refused = 0;
  #cachedTokens = 0;
  #promptTokens = 0;

  constructor(turns: readonly Turn[], machines: number, speeds: Speeds, pace: number, hints: Hints) {
    this.#turns = turns;
    this.#pace = pace;
    this.#hints = hints;
    this.#pool = new Pool(
      MODEL,
      {
        askFleet: () => {},
        tellFleet: () => {},
        askSupply: () => {},
        ended: () => {},
        records: { all: () => [], put: () => {}, remove: () => {} },
        cordons: { all: () => [], put: () => {}, remove: () => {} },
        saveSettings: () => {},
        rememberMachine: () => {},
        forgetMachine: () => {},
        random: () => 0.5,
        nonce: () => "",
        verifyProof: () => {},
      },
      { sleepers: NO_SLEEPERS, remembered: () => [], settings: INITIAL_SETTINGS, ledger: EMPTY_LEDGER },
      0,
    );
    for (let i = 0; i < machines; i++) this.#join(`mac-${i}`, speeds);
  }

  run(): Replay {
    this.#turns.forEach((turn, index) => {
      this.#at(turn.atMs / this.#pace, () => this.#ask(turn, String(index)));
    });
    for (let next = this.#later.shift(); next !== undefined; next = this.#later.shift()) {
      for (let tick = this.#now + TICK_MS; tick < next.at; tick += TICK_MS) {
        if (this.#pool.nextTickAt(this.#now) === null) break;
        this.#now = tick;
        this.#pool.tick(tick);
      }
      this.#now = Math.max(this.#now, next.at);
      next.run();
    }
    return {
      served: this.#served,
      refused: this.#refused,
      cachedShare: this.#cachedTokens / Math.max(1, this.#promptTokens),
    };
  }

  #at(at: number, run: () => void): void {
    let low = 0;
    let high = this.#later.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#later[middle]?.at ?? Infinity) <= at) low = middle + 1;
      else high = middle;
    }
    this.#later.splice(low, 0, { at, run });
  }

  #ask(turn: Turn, requestId: string): void {
    const messages = messagesOf(turn);
    const arrivedAt = this.#now;
    let isServed = false;
    const answer: Answer = {
      complete: () => {},
      refuse: () => (this.#refused += 1),
      write: (bytes) => {
        // All tokens come in one record here, and the end in another; what begins with a colon is a comment.
        if (bytes[0] === COLON || isServed) return 0;
        isServed = true;
        this.#served.push({ turn, firstTokenMs: this.#now - arrivedAt });
        return 0;
      },
      finish: () => {},
      breakOff: () => (this.#refused += 1),
    };
    const { blocks, conversation } = prefixOf({ messages });
    const spec = {
      requestId,
      endpoint: "/v1/chat/completions",
      model: MODEL,
      owner: null,
      body: JSON.stringify({ model: MODEL, messages }),
      prefix: this.#hints === "none" ? [] : blocks,
      cacheKeys: this.#hints === "blocks and conversation" && conversation !== null ? [conversation] : [],
      stream: true,
      keyId: "key",
      priority: "normal" as const,
      reservation: null,
      slotsPerMachine: 1024,
      contextLength: 1_000_000,
      answerTokens: null,
      arrivedAt,
      deadlineAt: arrivedAt + 600_000,
    };
    this.#pool.submit(spec, answer, this.#now);
  }

  #join(machineId: string, speeds: Speeds): void {
    const said = (message: object): void => {
      if (mac.connection !== null) this.#pool.receive(mac.connection, JSON.stringify(message), this.#now);
    };
    const write = (stream: number, bytes: Uint8Array): void => {
      const { buffer } = encodeRecords([{ stream, chunks: [bytes] }]);
      if (mac.connection !== null) this.#pool.receiveFrame(mac.connection, buffer, this.#now);
    };
    const words: Words = {
      accepted: (request_id, stream) => said({ type: "inference_accepted", request_id, stream }),
      firstToken: (stream) => write(stream, TOKENS),
      done: (request_id, stream, { turn, cachedTokens, prefillMs, decodeMs }) => {
        const { promptTokens, outputTokens } = turn;
        this.#cachedTokens += cachedTokens;
        this.#promptTokens += promptTokens;
        write(stream, END);
        said({
          type: "inference_complete",
          request_id,
          stream,
          usage: {
            prompt_tokens: promptTokens,
            completion_tokens: outputTokens,
            cached_tokens: cachedTokens,
          },
          finish_reason: "stop",
          timings: { queue_ms: 0, prefill_ms: prefillMs, decode_ms: decodeMs },
        });
      },
    };
    const mac = new SimulatedMac(
      speeds,
      (requestId) => this.#turnOf(requestId),
      (at, run) => this.#at(at, run),
      () => this.#now,
      words,
    );
    const identity = { machineId: machineIdSchema.parse(machineId), owner: "o", tokenId: "t", acceptedAt: 0 };
    mac.connection = this.#pool.connect(mac, identity, null);
    said({
      type: "register",
      protocol: 1,
      version: "0.7.0",
      machine_id: machineId,
      session_id: "s",
      backend: "simulated",
      public_key: "k",
      hardware: M3_ULTRA,
      models: [{ id: MODEL, size_bytes: 1, prefill_tps: speeds.prefillTps, decode_tps: speeds.decodeTps }],
      loaded_models: [MODEL],
      max_concurrency: speeds.slots,
      assignment: null,
    });
    const assignment = { model_id: null, epoch: NEVER_MANAGED, drain_ms: 30_000, load_ms: 180_000 };
    const stamp = { mode: "unmanaged", epoch: NEVER_MANAGED } as const;
    const word = { stamp, pools: [MODEL], assignment, publicKey: "k", isCordoned: false, cordonAsOf: 0 };
    this.#pool.admitted(mac.connection, { admitted: true, ...word }, 0);
  }

  #turnOf(requestId: string): Turn {
    const turn = this.#turns[Number(requestId)];
    if (turn === undefined) throw new Error(`nobody asked ${requestId}`);
    return turn;
  }
}

/** What a conversation opens with; no prompt of the trace has less text of its own. */
const OPENING_CHARS = 80;

/** The same beginning for each turn of a conversation, four characters a token. */
function messagesOf({ conversation, sharedTokens, promptTokens }: Turn): Prompt["messages"] {
  const word = `c${conversation} `;
  const ownChars = BYTES_PER_TOKEN * (promptTokens - sharedTokens);
  const own = word.repeat(Math.ceil(ownChars / word.length)).slice(0, ownChars);
  return [
    { role: "system", content: "s".repeat(BYTES_PER_TOKEN * sharedTokens) },
    { role: "user", content: own.slice(0, OPENING_CHARS) },
    { role: "assistant", content: own.slice(OPENING_CHARS) },
  ];
}
