import type { InferenceRequest } from "../../../protocol/downstream.ts";
import { EMBEDDINGS_ENDPOINT } from "../../../protocol/endpoints.ts";
import type { InferenceComplete, InferenceError } from "../../../protocol/upstream.ts";
import {
  asEngineError,
  type AnswerEvent,
  type EngineError,
  type EngineRequest,
  type LoadedModel,
  type RunResult,
} from "../engine.ts";
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
} from "./final-message.ts";
import type { Clock, CreateAnswerEncoder, Log } from "./ports.ts";
import type { Session } from "./session.ts";

/**
 * One request on this machine, from its admission to its last byte. It belongs to the socket it came on: its answer
 * goes there, and if the socket ends, nobody is left to answer and the request is stopped (H11).
 */

/** An engine stops within a token. One that has not after this long is hung, and only its end frees the slot. */
const STUCK_ABORT_MS = 20_000;

/** `waiting` for its model, not accepted yet; `running` on the engine; `delivering` its last bytes. */
export type JobPhase = "waiting" | "running" | "delivering";

export interface JobHost {
  /** Requests that the engine is at work on, this one not among them. */
  running(): number;
  /** The job is in another phase now. */
  onPhase(): void;
  /** A piece of the answer has been generated. */
  onToken(): void;
  onAnswered(modelId: InferenceRequest["model_id"], result: RunResult): void;
  /** The engine ignores an abort. */
  onStuck(loaded: LoadedModel): void;
  /** All that the request was owed has been sent. Called once. */
  onOver(job: Job): void;
}

export interface JobPorts {
  readonly clock: Clock;
  readonly log: Log;
  readonly createAnswerEncoder: CreateAnswerEncoder;
}

export class Job {
  readonly session: Session;
  readonly request: InferenceRequest;
  readonly #host: JobHost;
  readonly #ports: JobPorts;
  readonly #receivedAt: number;
  readonly #abort = new AbortController();
  readonly #cancelDeadline: () => void;
  #cancelStuck: () => void = () => {};
  #phase: JobPhase = "waiting";
  #ending: Ending | null = null;
  #loaded: LoadedModel | null = null;
  #isOver = false;

  constructor(session: Session, request: InferenceRequest, host: JobHost, ports: JobPorts) {
    this.session = session;
    this.request = request;
    this.#host = host;
    this.#ports = ports;
    this.#receivedAt = ports.clock.now();
    this.#cancelDeadline = ports.clock.after(request.deadline_ms, () => this.end("deadline"));
  }

  phase(): JobPhase {
    return this.#phase;
  }

  /** Its model is loaded. What embeddings need besides may still have to be, and there may be no memory for it. */
  begin(loaded: LoadedModel): void {
    if (taskOf(this.request) === "chat") {
      this.#onReady(loaded);
      return;
    }
    loaded.prepareEmbeddings().then(
      () => this.#onReady(loaded),
      (error: unknown) => this.onLoadFailed(asEngineError(error, "embeddings_failed")),
    );
  }

  onLoadFailed(error: EngineError): void {
    if (!this.#isOver) this.refuse(failureOfLoad(error));
  }

  /** Ends the request early. A later call has no effect. */
  end(ending: Ending): void {
    if (this.#isOver || this.#ending !== null) return;
    this.#ending = ending;
    switch (this.#phase) {
      case "waiting":
        this.refuse(failureOfWaiting(ending));
        return;
      case "running":
        this.#stopEngine();
        return;
      case "delivering":
        this.session.outbox.drop(this.request.stream);
        this.refuse(failureOfUnread(ending));
    }
  }

  /** Ends a running request because its model is to be unloaded (H16). @param which spare it if it has sent a byte. */
  endForSwitch(which: "without_byte" | "all"): void {
    if (this.#phase !== "running") return;
    const { outbox } = this.session;
    const hasByte = outbox.hasStarted(this.request.stream);
    if (which === "without_byte" && hasByte) return;
    // Not a byte of it has gone out, so the whole request may run elsewhere: nothing may go out now.
    if (!hasByte && this.#ending === null) outbox.drop(this.request.stream);
    this.end("switching");
  }

  /** Stops the request without waiting for the engine or telling anybody. */
  abandon(): void {
    this.end("socket_lost");
    this.#cancelStuck();
    this.#close();
  }

  /** @param failure null if nobody is left to tell. */
  refuse(failure: Failure | null): void {
    if (failure !== null) this.session.send(inferenceError(this.request, failure));
    this.#close();
  }

  #onReady(loaded: LoadedModel): void {
    if (this.#isOver) return;
    const running = this.#host.running();
    // An engine may have granted fewer slots than it was asked for.
    if (running < loaded.slots) {
      void this.#run(loaded);
      return;
    }
    const message = `${running} of ${loaded.slots} slots are taken`;
    this.refuse({ class: "capacity", code: "no_free_slot", message });
  }

  async #run(loaded: LoadedModel): Promise<void> {
    const { clock, createAnswerEncoder } = this.#ports;
    const { session, request } = this;
    const { stream, request_id } = request;
    const startedAt = clock.now();
    this.#phase = "running";
    this.#loaded = loaded;
    session.send({ type: "inference_accepted", request_id, stream });
    session.outbox.open(stream);
    const encoder = createAnswerEncoder(request, startedAt);
    const emit = (event: AnswerEvent): void | Promise<void> => {
      if (this.#ending !== null) return;
      if (event.type !== "embedding") this.#host.onToken();
      const bytes = encoder.encode(event);
      if (bytes !== null) return session.outbox.write(stream, bytes);
    };
    try {
      const asked = { task: taskOf(request), body: request.body };
      const result = await loaded.run(asked, emit, this.#abort.signal);
      this.#leaveEngine();
      // Once a request is being ended its events are dropped, so an answer that still came to its end has a hole.
      if (result.finishReason === "cancelled" || this.#ending !== null) {
        this.#failEarly();
        return;
      }
      this.#host.onAnswered(request.model_id, result);
      void session.outbox.write(stream, encoder.finish(result));
      this.#deliver(inferenceComplete(request, result, startedAt - this.#receivedAt));
    } catch (cause) {
      this.#leaveEngine();
      this.#fail(asEngineError(cause, "engine_error"));
    }
  }

  #stopEngine(): void {
    this.#abort.abort();
    // An engine that waits for its reader must be able to notice.
    this.session.outbox.release(this.request.stream);
    this.#cancelStuck = this.#ports.clock.after(STUCK_ABORT_MS, () => {
      if (this.#loaded !== null) this.#host.onStuck(this.#loaded);
    });
  }

  /** The engine is done with the request: its slot is free. */
  #leaveEngine(): void {
    this.#cancelStuck();
    this.#phase = "delivering";
    this.#host.onPhase();
  }

  #fail(error: EngineError): void {
    if (this.#ending !== null) {
      this.#failEarly();
      return;
    }
    if (error.class !== "client") {
      const { class: errorClass, code, message } = error;
      const { request_id: request, model_id: model } = this.request;
      this.#ports.log.error("request failed", { request, model, class: errorClass, code, detail: message });
    }
    this.#deliver(inferenceError(this.request, failureOfRun(error)));
  }

  /** Answers a request that was running when it was ended. */
  #failEarly(): void {
    const failure = failureOfRunning(this.#ending);
    if (failure === null) this.#close();
    else this.#deliver(inferenceError(this.request, failure));
  }

  /** Flushes what the stream has pending, then says how it ended. */
  #deliver(message: InferenceComplete | InferenceError): void {
    const { outbox } = this.session;
    const { stream } = this.request;
    // A reader that has gone will not resume its stream.
    if (this.#ending !== null && outbox.isPaused(stream)) outbox.drop(stream);
    const end = (): void => {
      this.session.send(message);
      this.#close();
    };
    if (outbox.has(stream)) outbox.end(stream, end);
    else end();
  }

  #close(): void {
    this.#cancelDeadline();
    if (this.#isOver) return;
    this.#isOver = true;
    this.#host.onOver(this);
  }
}

function taskOf({ endpoint }: InferenceRequest): EngineRequest["task"] {
  return endpoint === EMBEDDINGS_ENDPOINT ? "embeddings" : "chat";
}
