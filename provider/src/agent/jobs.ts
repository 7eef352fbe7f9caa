import type { InferenceRequest } from "../../../protocol/downstream.ts";
import { asEngineError, type LoadedModel, type RunResult } from "../engine.ts";
import type { Admission } from "./admission.ts";
import { inferenceError } from "./final-message.ts";
import { Job, type JobHost, type JobPorts } from "./job.ts";
import type { OfferedModel } from "./ports.ts";
import type { Session } from "./session.ts";

/** All requests on this machine: takes them in, counts them, and ends those that have to go. */

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

export class Jobs {
  readonly #host: JobsHost;
  readonly #ports: JobPorts;
  readonly #jobHost: JobHost;
  readonly #jobs = new Set<Job>();
  /** Those who wait until the jobs are in some state. */
  readonly #awaited = new Set<{ readonly isMet: () => boolean; readonly resolve: () => void }>();
  #tokens = 0;

  constructor(host: JobsHost, ports: JobPorts) {
    this.#host = host;
    this.#ports = ports;
    this.#jobHost = {
      running: () => this.running(),
      onPhase: () => this.#changed(),
      onToken: () => {
        this.#tokens += 1;
      },
      onAnswered: (modelId, result) => host.onAnswered(modelId, result),
      onStuck: (loaded) => host.onStuck(loaded),
      onOver: (job) => this.#onOver(job),
    };
  }

  /** Requests that have a slot: those that run and those whose model is being loaded for them. */
  held(): number {
    let held = 0;
    for (const job of this.#jobs) if (job.phase() !== "delivering") held += 1;
    return held;
  }

  /** Requests that the engine is at work on. */
  running(): number {
    let running = 0;
    for (const job of this.#jobs) if (job.phase() === "running") running += 1;
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
    if (this.#find(session, request.stream) !== undefined) {
      this.#ports.log.warn("ignored a request on a stream that is open", { stream: request.stream });
      return;
    }
    const admission = this.#host.admit(request);
    if (admission.verdict === "refuse") {
      session.send(inferenceError(request, admission));
      return;
    }
    const job = new Job(session, request, this.#jobHost, this.#ports);
    this.#jobs.add(job);
    this.#changed();
    if (admission.verdict === "run") {
      job.begin(admission.loaded);
      return;
    }
    const { verdict, model } = admission;
    const load = verdict === "visit" ? this.#host.visit(model) : this.#host.load(model);
    load.then(
      (loaded) => job.begin(loaded),
      (error: unknown) => job.onLoadFailed(asEngineError(error, "load_failed")),
    );
  }

  cancel(session: Session, stream: number): void {
    this.#find(session, stream)?.end("cancelled");
  }

  /** Stops all requests of a socket that has ended. */
  sessionEnded(session: Session): void {
    for (const job of this.#jobs) if (job.session === session) job.end("socket_lost");
  }

  /**
   * Refuses the requests that have not been accepted yet, so that the coordinator sends them elsewhere.
   * @param butFor a model whose requests go on waiting.
   */
  refuseWaiting(code: "stopping" | "switching_model", message: string, butFor?: string): void {
    for (const job of this.#jobs) {
      if (job.phase() !== "waiting" || job.request.model_id === butFor) continue;
      job.refuse({ class: "capacity", code, message });
    }
  }

  /** Ends accepted requests because their model goes: those that have no byte yet, or all (H16). */
  endRunning(which: "without_byte" | "all"): void {
    for (const job of this.#jobs) job.endForSwitch(which);
  }

  /** Stops all requests and forgets them, without waiting for the engine or telling anybody. */
  abandonAll(): void {
    for (const job of this.#jobs) job.abandon();
  }

  #find(session: Session, stream: number): Job | undefined {
    for (const job of this.#jobs) {
      if (job.session === session && job.request.stream === stream) return job;
    }
    return undefined;
  }

  #onOver(job: Job): void {
    this.#jobs.delete(job);
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
