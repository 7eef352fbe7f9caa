import { NEVER_MANAGED, type ModelId } from "../../../protocol/ids.ts";
import { asEngineError, EngineError, type LoadedModel } from "../engine.ts";
import { ageOf, NOTHING_HELD, type HeldAssignment, type Order } from "./assignment.ts";
import type { OfferedModel } from "./ports.ts";
import type { Session } from "./session.ts";
import type { Shelf } from "./shelf.ts";
import {
  failedLoadStatus,
  failedStatus,
  progressStatus,
  StatusReports,
  type AssignmentStatus,
} from "./status-reports.ts";
import { switchTo, type SwitchPorts } from "./switch.ts";

/**
 * This machine's side of an assignment: to hold the one model that the newest order names until a newer order comes.
 * An order is written to disk, then carried out in one task, which the next order cancels. A managed machine leaves its
 * model only for its owner ("visiting" another one), as long as the owner's requests last, and returns by itself (H21).
 */

export type DutyPhase =
  /** Free to serve any model. */
  | "unmanaged"
  | "draining"
  | "loading"
  /** Holds the assigned model. */
  | "serving"
  /** Away from it for the owner, or on the way there or back. */
  | "visiting"
  /** Serves nobody until a higher epoch. */
  | "failed";

/** What `admit` has to know. */
export interface DutyView {
  readonly phase: DutyPhase;
  readonly assigned: ModelId | null;
  /** The model that the owner's requests may join now. */
  readonly visited: ModelId | null;
}

export interface DutyConfig {
  readonly privateOnly: boolean;
  /** What the last run of the program was told; null if it was never managed. */
  readonly assignment: HeldAssignment | null;
}

export interface DutyHost {
  /** The assignment or the phase has changed. */
  onChange(): void;
  /** The machine may choose its model by itself again. */
  onReleased(): void;
  /** The registered socket to a pool. */
  sessionOf(pool: ModelId): Session | undefined;
}

export interface DutyPorts extends SwitchPorts {
  readonly shelf: Shelf;
  /** Why a model is not on the shelf, such as a download that failed; null if there is nothing to say. */
  readonly whyMissing?: ((id: ModelId) => string | null) | undefined;
  /** Returns once the assignment is on disk. @throws if it could not be written. */
  readonly saveAssignment: (held: HeldAssignment) => void;
}

/** Why the machine is on its way to the assigned model: a failed load is final only if it was ordered. */
type Errand = "order" | "reload" | "return";

/** Used from the start of the program until the first order, which brings its own. */
const DEFAULT_DRAIN_MS = 30_000;

export class Duty {
  readonly #config: DutyConfig;
  readonly #host: DutyHost;
  readonly #ports: DutyPorts;
  readonly #reports: StatusReports;
  #held: HeldAssignment;
  #phase: DutyPhase;
  #reason = "held before the start";
  #drainMs = DEFAULT_DRAIN_MS;
  #errand: Errand = "order";
  /** Aborts the task under way. */
  #task: AbortController | null = null;
  #visit: { readonly modelId: ModelId; readonly arrival: Promise<LoadedModel> } | null = null;
  #isStopped = false;

  constructor(config: DutyConfig, host: DutyHost, ports: DutyPorts) {
    this.#config = config;
    this.#host = host;
    this.#ports = ports;
    this.#reports = new StatusReports(ports.clock, (pool) => host.sessionOf(pool));
    const { modelId, epoch } = config.assignment ?? NOTHING_HELD;
    // A machine that serves only its owner is never managed, whatever was ordered before (C17).
    this.#held = { modelId: config.privateOnly ? null : modelId, epoch };
    this.#phase = this.#held.modelId === null ? "unmanaged" : "loading";
  }

  held(): HeldAssignment {
    return this.#held;
  }

  isManaged(): boolean {
    return this.#phase !== "unmanaged";
  }

  view(): DutyView {
    return { phase: this.#phase, assigned: this.#held.modelId, visited: this.#visit?.modelId ?? null };
  }

  /** Why the newest order was given. */
  reason(): string {
    return this.#reason;
  }

  /** Loads what the machine held before it was last stopped. */
  resume(): void {
    if (this.#held.modelId !== null) this.#begin(this.#held.modelId);
  }

  /** Carries out nothing more and reports nothing more. What is on disk stays. */
  stop(): void {
    this.#isStopped = true;
    this.#task?.abort(superseded());
    this.#reports.forget();
  }

  /**
   * The one place where orders arrive (H8). Returns whether the assignment stayed as it was although the sender may
   * believe otherwise, so that it should be told the current one.
   */
  take(order: Order): boolean {
    if (this.#isStopped || order.epoch === NEVER_MANAGED) return false;
    const { modelId, epoch } = order;
    if (this.#config.privateOnly && modelId !== null) {
      const message = "this machine serves only its owner";
      this.#reports.reject(modelId, epoch, "refused_by_operator", message);
      return true;
    }
    switch (ageOf(order, this.#held)) {
      case "older":
      case "repeated":
        this.#reports.repeat();
        return true;
      case "conflicting":
        if (modelId !== null) {
          const message = `epoch ${epoch} is held for ${this.#held.modelId ?? "no model"}`;
          this.#reports.reject(modelId, epoch, "epoch_conflict", message);
        }
        return true;
      case "newer":
        return !this.#obey(order);
    }
  }

  /** Loads the assigned model again after its engine died. Does nothing unless that is due. */
  reload(): void {
    const model = this.#assignedModel();
    if (this.#phase !== "loading" || this.#task !== null || model === undefined) return;
    void this.#carryOut(model, "reload");
  }

  /** Leaves the assigned model for a request of the owner; joins a visit to the same model (H21). */
  visit(model: OfferedModel): Promise<LoadedModel> {
    if (this.#visit?.modelId === model.id) return this.#visit.arrival;
    const task = this.#startTask();
    this.#ports.log.info(`leaving the assigned model: the owner asks for ${model.id}`);
    this.#phase = "visiting";
    // A pool that asks now must not believe that the assigned model is loaded.
    this.#reports.note(this.#status("loading"));
    const arrival = switchTo(model, { drainMs: this.#drainMs, onPhase: () => {} }, this.#ports, task.signal);
    this.#visit = { modelId: model.id, arrival };
    // They wait for the model that is being unloaded.
    this.#ports.jobs.refuseWaiting("switching_model", "this machine serves its owner", model.id);
    this.#host.onChange();
    void this.#returnAfter(arrival, task);
    return arrival;
  }

  onProgress(progress: number): void {
    if (this.#phase === "loading") this.#reports.progress(progress);
  }

  /** The engine of a loaded model has ended by itself. */
  onDied(modelId: string): void {
    if (this.#phase !== "serving" || modelId !== this.#held.modelId) return;
    this.#errand = "reload";
    this.#enter("loading");
  }

  /** The model has failed too often to be tried again. */
  onSuspended(modelId: string, error: EngineError): void {
    if (modelId !== this.#held.modelId || this.#errand === "order") return;
    if (this.#phase === "loading" || this.#phase === "visiting") this.#fail(error);
  }

  /** Returns whether the order is in force now. */
  #obey(order: Order): boolean {
    const { modelId, epoch, drainMs, reason } = order;
    const { log, saveAssignment, holder, jobs } = this.#ports;
    log.info(
      `ordered: ${describe(modelId, this.#held.modelId ?? holder.modelId())}: ${reason} (epoch ${epoch})`,
    );
    try {
      saveAssignment({ modelId, epoch });
    } catch (cause) {
      const { message } = asEngineError(cause, "load_failed");
      log.error("did not obey: the order could not be written to disk", { detail: message });
      if (modelId !== null) this.#reports.reject(modelId, epoch, "load_failed", message);
      return false;
    }
    const visited = this.#visit?.modelId ?? null;
    this.#cancelTask();
    this.#held = { modelId, epoch };
    this.#reason = reason;
    this.#drainMs = drainMs;
    this.#reports.forget();
    if (modelId === null) {
      this.#phase = "unmanaged";
      this.#host.onChange();
      this.#host.onReleased();
      return true;
    }
    // What still drains from the assigned model for the visit is not the owner's.
    if (visited !== null && visited !== modelId && holder.holds(visited)) jobs.endRunning("all");
    this.#begin(modelId);
    return true;
  }

  #begin(modelId: ModelId): void {
    const model = this.#assignedModel();
    this.#errand = "order";
    if (model === undefined) {
      const why = this.#ports.whyMissing?.(modelId) ?? null;
      const message = `no file for ${modelId}${why === null ? "" : `: ${why}`}`;
      this.#end("failed", failedStatus(modelId, this.#held.epoch, "model_not_on_disk", message));
    } else {
      void this.#carryOut(model, "order");
    }
    // They were not accepted yet, so another machine can take them.
    this.#ports.jobs.refuseWaiting("switching_model", "this machine switches to another model");
  }

  async #carryOut(model: OfferedModel, errand: Errand): Promise<void> {
    const { signal } = this.#startTask();
    this.#errand = errand;
    if (this.#ports.holder.holds(model.id)) {
      this.#succeed();
      return;
    }
    const onPhase = (phase: "draining" | "loading"): void => {
      if (errand !== "return") this.#enter(phase);
    };
    try {
      await switchTo(model, { drainMs: this.#drainMs, onPhase }, this.#ports, signal);
    } catch (cause) {
      if (!signal.aborted) this.#onLoadFailed(asEngineError(cause, "load_failed"));
      return;
    }
    if (signal.aborted) return;
    // Its engine may have died just after the load.
    if (this.#ports.holder.holds(model.id)) this.#succeed();
    else this.#awaitReload();
  }

  /** A load that nobody ordered is retried later, until the model is suspended. */
  #onLoadFailed(error: EngineError): void {
    if (this.#errand === "order") this.#fail(error);
    else this.#awaitReload();
  }

  #awaitReload(): void {
    this.#task = null;
    this.#errand = "reload";
    this.#enter("loading");
  }

  async #returnAfter(arrival: Promise<LoadedModel>, { signal }: AbortController): Promise<void> {
    try {
      await arrival;
    } catch {
      // The waiting jobs report the failure.
    }
    if (signal.aborted) return;
    const { jobs, log } = this.#ports;
    await jobs.until(() => jobs.held() === 0);
    const model = this.#assignedModel();
    if (signal.aborted || model === undefined) return;
    log.info(`going back to the assigned model ${model.id}`);
    this.#visit = null;
    await this.#carryOut(model, "return");
  }

  #enter(phase: "draining" | "loading"): void {
    this.#phase = phase;
    this.#reports.report(this.#status(phase));
    this.#host.onChange();
  }

  #succeed(): void {
    this.#end("serving", this.#status("succeeded"));
  }

  #fail(error: EngineError): void {
    this.#end("failed", failedLoadStatus(this.#assigned(), this.#held.epoch, error));
  }

  #end(phase: "serving" | "failed", status: AssignmentStatus): void {
    this.#cancelTask();
    this.#phase = phase;
    if (status.error !== undefined) {
      const { code, message } = status.error;
      this.#ports.log.error(`cannot hold ${status.model_id} and serves nobody until the next order`, {
        code,
        detail: message,
      });
    }
    this.#reports.report(status);
    this.#host.onChange();
  }

  #startTask(): AbortController {
    this.#cancelTask();
    this.#task = new AbortController();
    return this.#task;
  }

  #cancelTask(): void {
    this.#task?.abort(superseded());
    this.#task = null;
    this.#visit = null;
  }

  #assignedModel(): OfferedModel | undefined {
    return this.#ports.shelf.find(this.#held.modelId);
  }

  #assigned(): ModelId {
    const { modelId } = this.#held;
    if (modelId === null) throw new Error("an unmanaged machine has no assigned model");
    return modelId;
  }

  #status(status: "draining" | "loading" | "succeeded"): AssignmentStatus {
    return progressStatus(this.#assigned(), this.#held.epoch, status);
  }
}

/** What the log says of an order, for the machine's owner. */
function describe(ordered: ModelId | null, before: string | null): string {
  if (ordered === null) return "serve any of its models again";
  return before === null || before === ordered ? `hold ${ordered}` : `hold ${ordered} instead of ${before}`;
}

function superseded(): EngineError {
  return new EngineError("capacity", "switching_model", "this machine switches to another model");
}
