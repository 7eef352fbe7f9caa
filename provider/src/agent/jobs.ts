import type { InferenceRequest } from "../../../protocol/downstream.ts";
import type { ErrorClass, InferenceComplete } from "../../../protocol/upstream.ts";
import type { ChatEvent, ChatResult, EngineError, LoadedModel } from "../engine.ts";
import type { Admission } from "./admission.ts";
import { asEngineError } from "./model-holder.ts";
import type { Clock, Log, OfferedModel } from "./ports.ts";
import type { Session } from "./session.ts";

/**
 * The requests on this machine, from their arrival to their last byte. Each belongs to the socket it came on: its
 * answer goes there, and if the socket ends, nobody is left to answer and the request is stopped (H11).
 */

/** An engine stops within a token. One that has not after this long is hung, and only its end frees the slot. */
const STUCK_ABORT_MS = 20_000;

const MAX_MESSAGE_LENGTH = 2000;

/** Turns an engine's events into the bytes that the client reads. */
export interface AnswerEncoder {
  /** Bytes to send now; null if the whole answer comes at the end. */
  encode(event: ChatEvent): Uint8Array | null;
  /** The rest of the answer. */
  finish(result: ChatResult): Uint8Array;
}

export type CreateAnswerEncoder = (request: InferenceRequest, now: number) => AnswerEncoder;

export interface JobsHost {
  admit(request: InferenceRequest): Admission;
  load(model: OfferedModel): Promise<LoadedModel>;
  /** As `load`, away from the assigned model. */
  visit(model: OfferedModel): Promise<LoadedModel>;
  /** The number of taken slots has changed. */
  onChange(): void;
  /** A request of this socket is over, and all that it owed has been sent. */
  onJobOver(session: Session): void;
  onAnswered(modelId: InferenceRequest["model_id"], result: ChatResult): void;
  /** The engine ignores an abort. */
  onStuck(loaded: LoadedModel): void;
}

export interface JobsPorts {
  readonly clock: Clock;
  readonly log: Log;
  readonly createAnswerEncoder: CreateAnswerEncoder;
}

/** Why a request is ended before its time. */
type Ending = "cancelled" | "deadline" | "socket_lost" | "switching";

interface Job {
  readonly session: Session;
  readonly request: InferenceRequest;
  readonly receivedAt: number;
  readonly abort: AbortController;
  /** `waiting` for its model, not accepted yet; `running` on the engine; `delivering` its last bytes. */
  phase: "waiting" | "running" | "delivering";
  ending: Ending | null;
  loaded: LoadedModel | null;
  cancelDeadline: () => void;
  cancelStuck: () => void;
}

export class Jobs {
  readonly #host: JobsHost;
  readonly #ports: JobsPorts;
  readonly #jobs = new Set<Job>();
  /** Those who wait until the jobs are in some state. */
  readonly #awaited = new Set<{ readonly isMet: () => boolean; readonly resolve: () => void }>();
  #tokens = 0;

  constructor(host: JobsHost, ports: JobsPorts) {
    this.#host = host;
    this.#ports = ports;
  }

  /** Requests that have a slot: those that run and those whose model is being loaded for them. */
  held(): number {
    let held = 0;
    for (const job of this.#jobs) if (job.phase !== "delivering") held += 1;
    return held;
  }

  /** Requests that the engine is at work on. */
  running(): number {
    let running = 0;
    for (const job of this.#jobs) if (job.phase === "running") running += 1;
    return running;
  }

  /** Requests of one socket, from their arrival to their last byte: what its pool counts as well. */
  countOf(session: Session): number {
    let requests = 0;
    for (const job of this.#jobs) if (job.session === session) requests += 1;
    return requests;
  }

  hasWork(session: Session): boolean {
    return this.countOf(session) > 0;
  }

  /** Resolves once `isMet`, which is about these jobs. */
  until(isMet: () => boolean): Promise<void> {
    if (isMet()) return Promise.resolve();
    return new Promise((resolve) => this.#awaited.add({ isMet, resolve }));
  }

  isEmpty(): boolean {
    return this.#jobs.size === 0;
  }

  /** Pieces of answers written since the start; nearly the number of tokens. */
  tokensWritten(): number {
    return this.#tokens;
  }

  take(session: Session, request: InferenceRequest): void {
    const { clock, log } = this.#ports;
    if (this.#find(session, request.stream) !== undefined) {
      log.warn("ignored a request on a stream that is open", { stream: request.stream });
      return;
    }
    const admission = this.#host.admit(request);
    if (admission.verdict === "refuse") {
      sendError(session, request, admission.class, admission.code, admission.message);
      return;
    }
    const job: Job = {
      session,
      request,
      receivedAt: clock.now(),
      abort: new AbortController(),
      phase: "waiting",
      ending: null,
      loaded: null,
      cancelDeadline: clock.after(request.deadline_ms, () => this.#endEarly(job, "deadline")),
      cancelStuck: () => {},
    };
    this.#jobs.add(job);
    this.#changed();
    if (admission.verdict === "run") {
      void this.#run(job, admission.loaded);
      return;
    }
    const { verdict, model } = admission;
    const load = verdict === "visit" ? this.#host.visit(model) : this.#host.load(model);
    load.then(
      (loaded) => this.#onLoaded(job, loaded),
      (error: unknown) => this.#onLoadFailed(job, asEngineError(error, "load_failed")),
    );
  }

  cancel(session: Session, stream: number): void {
    const job = this.#find(session, stream);
    if (job !== undefined) this.#endEarly(job, "cancelled");
  }

  /** Stops all requests of a socket that has ended. */
  sessionEnded(session: Session): void {
    for (const job of this.#jobs) if (job.session === session) this.#endEarly(job, "socket_lost");
  }

  /** Refuses the requests that have not been accepted yet, so that the coordinator sends them elsewhere. */
  refuseWaiting(code: "stopping" | "switching_model", message: string): void {
    for (const job of this.#jobs) if (job.phase === "waiting") this.#refuse(job, "capacity", code, message);
  }

  /** Ends accepted requests because their model goes: those that have no byte yet, or all (H16). */
  endRunning(which: "without_byte" | "all"): void {
    for (const job of this.#jobs) {
      if (job.phase !== "running") continue;
      const hasByte = job.session.outbox.hasStarted(job.request.stream);
      if (which === "without_byte" && hasByte) continue;
      // Not a byte of it has gone out, so the whole request may run elsewhere: nothing may go out now.
      if (!hasByte && job.ending === null) job.session.outbox.drop(job.request.stream);
      this.#endEarly(job, "switching");
    }
  }

  /** Stops all requests and forgets them, without waiting for the engine or telling anybody. */
  abandonAll(): void {
    for (const job of this.#jobs) {
      this.#endEarly(job, "socket_lost");
      job.cancelStuck();
      this.#remove(job);
    }
  }

  #find(session: Session, stream: number): Job | undefined {
    for (const job of this.#jobs) {
      if (job.session === session && job.request.stream === stream) return job;
    }
    return undefined;
  }

  #onLoaded(job: Job, loaded: LoadedModel): void {
    if (!this.#jobs.has(job)) return;
    const running = this.running();
    // An engine may have granted fewer slots than it was asked for.
    if (running < loaded.slots) void this.#run(job, loaded);
    else this.#refuse(job, "capacity", "no_free_slot", `${running} of ${loaded.slots} slots are taken`);
  }

  #onLoadFailed(job: Job, error: EngineError): void {
    if (!this.#jobs.has(job)) return;
    const isMemory = error.code === "insufficient_memory";
    if (isMemory) this.#refuse(job, "capacity", "insufficient_memory", error.message);
    else if (error.class === "capacity") this.#refuse(job, "capacity", "switching_model", error.message);
    else this.#refuse(job, "fault", error.code, error.message);
  }

  async #run(job: Job, loaded: LoadedModel): Promise<void> {
    const { clock, createAnswerEncoder } = this.#ports;
    const { session, request } = job;
    const { stream, request_id } = request;
    const startedAt = clock.now();
    job.phase = "running";
    job.loaded = loaded;
    session.send({ type: "inference_accepted", request_id, stream });
    session.outbox.open(stream);
    const encoder = createAnswerEncoder(request, startedAt);
    const emit = (event: ChatEvent): void | Promise<void> => {
      if (job.ending !== null) return;
      this.#tokens += 1;
      const bytes = encoder.encode(event);
      if (bytes !== null) return session.outbox.write(stream, bytes);
    };
    try {
      const result = await loaded.run({ body: request.body }, emit, job.abort.signal);
      this.#settle(job);
      // Once a request is being ended its events are dropped, so an answer that still came to its end has a hole.
      if (result.finishReason === "cancelled" || job.ending !== null) {
        this.#failEarly(job);
        return;
      }
      this.#host.onAnswered(request.model_id, result);
      void session.outbox.write(stream, encoder.finish(result));
      this.#deliver(job, () => session.send(completed(request, result, startedAt - job.receivedAt)));
    } catch (cause) {
      this.#settle(job);
      this.#fail(job, asEngineError(cause, "engine_error"));
    }
  }

  /** The engine is done with the request: its slot is free. */
  #settle(job: Job): void {
    job.cancelStuck();
    job.phase = "delivering";
    this.#changed();
  }

  #fail(job: Job, error: EngineError): void {
    if (job.ending !== null) {
      this.#failEarly(job);
      return;
    }
    const { session, request } = job;
    if (error.class !== "client") {
      const { class: errorClass, code, message } = error;
      this.#ports.log.error("request failed", { class: errorClass, code, detail: message });
    }
    // The request has been accepted, and after that nothing is a refusal any more (D3, H16).
    const errorClass = error.class === "client" ? "client" : "fault";
    this.#deliver(job, () => sendError(session, request, errorClass, error.code, error.message));
  }

  /** Answers a request that was running when it was ended. */
  #failEarly(job: Job): void {
    const { session, request } = job;
    switch (job.ending) {
      case "socket_lost":
        this.#remove(job);
        return;
      case "cancelled":
        this.#deliver(job, () => sendError(session, request, "cancelled", "cancelled", "cancelled"));
        return;
      case "deadline":
        this.#deliver(job, () =>
          sendError(session, request, "fault", "deadline_exceeded", "the request's deadline has passed"),
        );
        return;
      case "switching":
        // The one refusal that may follow an acceptance (H16).
        this.#deliver(job, () =>
          sendError(
            session,
            request,
            "capacity",
            "switching_model",
            "the machine was ordered to hold another model",
          ),
        );
        return;
      case null:
        this.#deliver(job, () =>
          sendError(session, request, "fault", "engine_stopped", "the engine stopped the request"),
        );
    }
  }

  /** Flushes what the stream has pending, then says how it ended. */
  #deliver(job: Job, sayEnd: () => void): void {
    const { session, request } = job;
    // A reader that has gone will not resume its stream.
    if (job.ending !== null && session.outbox.isPaused(request.stream)) session.outbox.drop(request.stream);
    const end = (): void => {
      sayEnd();
      this.#remove(job);
    };
    if (session.outbox.has(request.stream)) session.outbox.end(request.stream, end);
    else end();
  }

  #endEarly(job: Job, ending: Ending): void {
    if (!this.#jobs.has(job) || job.ending !== null) return;
    job.ending = ending;
    switch (job.phase) {
      case "waiting":
        this.#endWaiting(job, ending);
        return;
      case "running": {
        job.abort.abort();
        // An engine that waits for its reader must be able to notice.
        job.session.outbox.release(job.request.stream);
        const { loaded } = job;
        job.cancelStuck = this.#ports.clock.after(STUCK_ABORT_MS, () => {
          if (loaded !== null) this.#host.onStuck(loaded);
        });
        return;
      }
      case "delivering":
        // Generated, but the paused reader never took it: nobody's fault on this machine.
        job.session.outbox.drop(job.request.stream);
        if (ending !== "socket_lost") {
          const code = ending === "deadline" ? "deadline_exceeded" : "cancelled";
          sendError(job.session, job.request, "cancelled", code, "the answer was not read in time");
        }
        this.#remove(job);
    }
  }

  #endWaiting(job: Job, ending: Ending): void {
    switch (ending) {
      case "cancelled":
        this.#refuse(job, "cancelled", "cancelled", "cancelled");
        return;
      case "deadline":
        this.#refuse(job, "capacity", "switching_model", "the model was not loaded before the deadline");
        return;
      case "switching":
        this.#refuse(job, "capacity", "switching_model", "this machine switches to another model");
        return;
      case "socket_lost":
        this.#remove(job);
    }
  }

  #refuse(job: Job, errorClass: ErrorClass, code: string, message: string): void {
    sendError(job.session, job.request, errorClass, code, message);
    this.#remove(job);
  }

  #remove(job: Job): void {
    job.cancelDeadline();
    if (!this.#jobs.delete(job)) return;
    this.#changed();
    this.#host.onJobOver(job.session);
  }

  #changed(): void {
    this.#host.onChange();
    for (const awaited of this.#awaited) {
      if (!awaited.isMet()) continue;
      this.#awaited.delete(awaited);
      awaited.resolve();
    }
  }
}

function sendError(
  session: Session,
  { request_id, stream }: InferenceRequest,
  errorClass: ErrorClass,
  code: string,
  message: string,
): void {
  session.send({
    type: "inference_error",
    request_id,
    stream,
    class: errorClass,
    code,
    message: message.slice(0, MAX_MESSAGE_LENGTH),
  });
}

function completed(
  { request_id, stream }: InferenceRequest,
  { usage, finishReason, prefillMs, decodeMs }: ChatResult,
  queueMs: number,
): InferenceComplete {
  return {
    type: "inference_complete",
    request_id,
    stream,
    usage: {
      prompt_tokens: count(usage.promptTokens),
      completion_tokens: count(usage.completionTokens),
      cached_tokens: count(usage.cachedTokens),
    },
    finish_reason: finishReason,
    timings: { queue_ms: duration(queueMs), prefill_ms: duration(prefillMs), decode_ms: duration(decodeMs) },
  };
}

/** An engine's figures are not worth a socket: one that does not parse would close it. */
function duration(ms: number): number {
  return Number.isFinite(ms) ? Math.max(0, Math.round(ms * 10) / 10) : 0;
}

function count(n: number): number {
  return Math.round(duration(n));
}
