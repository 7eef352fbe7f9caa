import type { InferenceRequest } from "../../../protocol/downstream.ts";
import { EMBEDDINGS_ENDPOINT } from "../../../protocol/endpoints.ts";
import type { InferenceComplete, InferenceError } from "../../../protocol/upstream.ts";
import {
  asEngineError,
  type AnswerEvent,
  type RunResult,
  type EngineError,
  type EngineRequest,
  type LoadedModel,
} from "../engine.ts";
import type { Admission } from "./admission.ts";
import {
  inferenceComplete,
  inferenceError,
  failureOfLoad,
  failureOfRun,
  failureOfRunning,
  failureOfUnread,
  failureOfWaiting,
  type Ending,
  type Failure,
} from "./last-word.ts";
import type { Clock, Log, OfferedModel } from "./ports.ts";
import type { Session } from "./session.ts";

/**
 * The requests on this machine, from their arrival to their last byte. Each belongs to the socket it came on: its
 * answer goes there, and if the socket ends, nobody is left to answer and the request is stopped (H11).
 */

/** An engine stops within a token. One that has not after this long is hung, and only its end frees the slot. */
const STUCK_ABORT_MS = 20_000;

/** Turns an engine's events into the bytes that the client reads. */
export interface AnswerEncoder {
  /** Bytes to send now; null if the whole answer comes at the end. */
  encode(event: AnswerEvent): Uint8Array | null;
  /** The rest of the answer. */
  finish(result: RunResult): Uint8Array;
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
  onAnswered(modelId: InferenceRequest["model_id"], result: RunResult): void;
  /** The engine ignores an abort. */
  onStuck(loaded: LoadedModel): void;
}

export interface JobsPorts {
  readonly clock: Clock;
  readonly log: Log;
  readonly createAnswerEncoder: CreateAnswerEncoder;
}

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
      session.send(inferenceError(request, admission));
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
      this.#begin(job, admission.loaded);
      return;
    }
    const { verdict, model } = admission;
    const load = verdict === "visit" ? this.#host.visit(model) : this.#host.load(model);
    load.then(
      (loaded) => this.#begin(job, loaded),
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

  /**
   * Refuses the requests that have not been accepted yet, so that the coordinator sends them elsewhere.
   * @param butFor a model whose requests go on waiting.
   */
  refuseWaiting(code: "stopping" | "switching_model", message: string, butFor?: string): void {
    for (const job of this.#jobs) {
      if (job.phase !== "waiting" || job.request.model_id === butFor) continue;
      this.#refuse(job, { class: "capacity", code, message });
    }
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

  /** Its model is loaded. What embeddings need besides may still have to be, and there may be no memory for it. */
  #begin(job: Job, loaded: LoadedModel): void {
    if (taskOf(job.request) === "chat") {
      this.#onReady(job, loaded);
      return;
    }
    loaded.prepareEmbeddings().then(
      () => this.#onReady(job, loaded),
      (error: unknown) => this.#onLoadFailed(job, asEngineError(error, "embeddings_failed")),
    );
  }

  #onReady(job: Job, loaded: LoadedModel): void {
    if (!this.#jobs.has(job)) return;
    const running = this.running();
    // An engine may have granted fewer slots than it was asked for.
    if (running < loaded.slots) {
      void this.#run(job, loaded);
      return;
    }
    const message = `${running} of ${loaded.slots} slots are taken`;
    this.#refuse(job, { class: "capacity", code: "no_free_slot", message });
  }

  #onLoadFailed(job: Job, error: EngineError): void {
    if (this.#jobs.has(job)) this.#refuse(job, failureOfLoad(error));
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
    const emit = (event: AnswerEvent): void | Promise<void> => {
      if (job.ending !== null) return;
      if (event.type !== "embedding") this.#tokens += 1;
      const bytes = encoder.encode(event);
      if (bytes !== null) return session.outbox.write(stream, bytes);
    };
    try {
      const asked = { task: taskOf(request), body: request.body };
      const result = await loaded.run(asked, emit, job.abort.signal);
      this.#settle(job);
      // Once a request is being ended its events are dropped, so an answer that still came to its end has a hole.
      if (result.finishReason === "cancelled" || job.ending !== null) {
        this.#failEarly(job);
        return;
      }
      this.#host.onAnswered(request.model_id, result);
      void session.outbox.write(stream, encoder.finish(result));
      this.#deliver(job, inferenceComplete(request, result, startedAt - job.receivedAt));
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
    if (error.class !== "client") {
      const { class: errorClass, code, message } = error;
      this.#ports.log.error("request failed", { class: errorClass, code, detail: message });
    }
    this.#deliver(job, inferenceError(job.request, failureOfRun(error)));
  }

  /** Answers a request that was running when it was ended. */
  #failEarly(job: Job): void {
    const failure = failureOfRunning(job.ending);
    if (failure === null) this.#remove(job);
    else this.#deliver(job, inferenceError(job.request, failure));
  }

  /** Flushes what the stream has pending, then says how it ended. */
  #deliver(job: Job, lastWord: InferenceComplete | InferenceError): void {
    const { session, request } = job;
    // A reader that has gone will not resume its stream.
    if (job.ending !== null && session.outbox.isPaused(request.stream)) session.outbox.drop(request.stream);
    const end = (): void => {
      session.send(lastWord);
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
        this.#refuse(job, failureOfWaiting(ending));
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
        job.session.outbox.drop(job.request.stream);
        this.#refuse(job, failureOfUnread(ending));
    }
  }

  /** @param failure null if nobody is left to tell. */
  #refuse(job: Job, failure: Failure | null): void {
    if (failure !== null) job.session.send(inferenceError(job.request, failure));
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

function taskOf({ endpoint }: InferenceRequest): EngineRequest["task"] {
  return endpoint === EMBEDDINGS_ENDPOINT ? "embeddings" : "chat";
}
