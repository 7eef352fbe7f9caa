import type { Priority } from "../../../../core/pool/priority.ts";
import type { NewRequest, PoolRequest } from "../../../../core/pool/request.ts";
import type { CloseReason } from "../../../../protocol/close-codes.ts";
import type { FakeClient } from "./fake-client.ts";
import { FakeSocket, type Message } from "./fake-socket.ts";
import { MODEL, type Machine } from "./pool-scene.ts";
import { SLOTS } from "./random-room.ts";

/** What clients and machines know of a random life: their requests, their sockets, and what was sent down them. */

const LIVENESS_TIMEOUT_MS = 60_000;

export interface LinkHost {
  now(): number;
  /** Something went down a socket. */
  onSent(link: Link, message: Message): void;
  /** The pool has closed one. */
  onClosed(how: string): void;
}

/** One call of `submit`, as its client and the machines see it. */
export interface Submission {
  readonly requestId: string;
  readonly stream: boolean;
  readonly client: FakeClient;
  request: PoolRequest | null;
  /** The client has gone, or the request was sent again. */
  gone: boolean;
  live: Job | null;
  attempts: number;
  /** Attempts that ended because the machine had no room. */
  noRoom: number;
  /** Machines that have failed it. */
  readonly failedOn: Set<string>;
  /** What the client must have, or get in the end if it wants no stream. */
  expected: string;
}

/** One `inference_request`. */
export interface Job {
  readonly submission: Submission;
  readonly link: Link;
  readonly stream: number;
  accepted: boolean;
  /** The machine has said its last word on it, or cannot any more. */
  over: boolean;
  cancelledAt: number | null;
  paused: boolean;
  /** What has come of an event that has not ended. */
  half: string;
  /** The answer has come to its end. */
  isDone: boolean;
}

/** Bytes that a machine sends: an event or half of one, or the event that ends an answer. */
export type Bytes = "bytes" | "half" | "end";

export function isBytes(what: string): what is Bytes {
  return what === "bytes" || what === "half" || what === "end";
}

/** Whether its machine may say that the answer is complete. */
export function isAnswered({ submission, isDone, half }: Job): boolean {
  return isDone || (half === "" && submission.expected !== "");
}

export function newSubmission(requestId: string, stream: boolean, client: FakeClient): Submission {
  return {
    requestId,
    stream,
    client,
    request: null,
    gone: false,
    live: null,
    attempts: 0,
    noRoom: 0,
    failedOn: new Set(),
    expected: "",
  };
}

const PRIORITIES: readonly Priority[] = ["normal", "high", "low"];

/** @param key number of the API key, each of which has its priority. */
export function specOf(
  { requestId, stream }: Submission,
  key: number,
  now: number,
  deadlineMs: number,
): NewRequest {
  return {
    requestId,
    endpoint: "/v1/chat/completions",
    prefix: [],
    cacheKeys: [],
    body: "{}",
    stream,
    keyId: `key-${key}`,
    priority: PRIORITIES[key] ?? "normal",
    slotsPerMachine: SLOTS,
    reservation: null,
    contextLength: 8192,
    answerTokens: null,
    model: MODEL,
    owner: null,
    arrivedAt: now,
    deadlineAt: now + deadlineMs,
  };
}

export function newJob(submission: Submission, link: Link, stream: number): Job {
  return {
    submission,
    link,
    stream,
    accepted: false,
    over: false,
    cancelledAt: null,
    paused: false,
    half: "",
    isDone: false,
  };
}

/** What the machine writes, noted as the client must see it. @param text what an event says. */
export function written(job: Job | undefined, what: Bytes, text: string): string {
  const isStream = job?.submission.stream === true;
  const isHalf = isStream && what === "half";
  const piece = isStream && what === "end" ? "[DONE]" : text;
  const line = (job?.half ?? "") + piece;
  if (job !== undefined && job.submission.live === job && job.accepted && !job.isDone) {
    if (line === "[DONE]") job.isDone = true;
    else if (!isHalf) job.submission.expected += line;
    job.half = isHalf ? line : "";
  }
  return `${line === piece ? "data: " : ""}${piece}${isHalf ? "" : "\n\n"}`;
}

/** One socket, as its machine sees it. */
export class Link extends FakeSocket {
  readonly #host: LinkHost;
  readonly machineId: string;
  machine!: Machine;
  readonly jobs = new Map<number, Job>();
  lastStream = -1;
  registered = false;
  admitted = false;
  limit = 0;
  running = 0;
  accepting = true;
  loaded = true;
  offers = true;
  refusedAt = -Infinity;
  refusalsInARow = 0;
  lastSignAt: number;
  /** Whether it had been heard of in time at the last tick. */
  wasAlive = true;

  constructor(host: LinkHost, machineId: string) {
    super();
    this.#host = host;
    this.machineId = machineId;
    this.lastSignAt = host.now();
  }

  get isAlive(): boolean {
    return this.#host.now() - Math.max(this.lastSignAt, this.pongAt) <= LIVENESS_TIMEOUT_MS;
  }

  get isOpen(): boolean {
    return this.closed === null && !this.isGone;
  }

  override send(text: string): void {
    super.send(text);
    const message = this.sent.pop();
    if (message !== undefined) this.#host.onSent(this, message);
  }

  override close(reason: CloseReason, detail?: string): void {
    super.close(reason, detail);
    const running = [...this.jobs.values()].some(({ over }) => !over) ? " while running" : "";
    this.#host.onClosed(`${reason}${running}`);
    this.end();
  }

  end(): void {
    for (const job of this.jobs.values()) settle(job);
  }
}

/** The machine has said its last word on a job. */
export function settle(job: Job): void {
  job.over = true;
  if (job.submission.live === job) job.submission.live = null;
}

export function pickOf<T>(choices: readonly T[], which: number): T | undefined {
  return choices.length === 0 ? undefined : choices[which % choices.length];
}
