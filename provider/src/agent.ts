import type { AttestationChallenge, Downstream, Registered } from "../../protocol/downstream.ts";
import type { ModelId } from "../../protocol/ids.ts";
import { admit } from "./agent/admission.ts";
import { composeHeartbeat, composeProof, composeRegister, type MachineView } from "./agent/announcements.ts";
import { orderOf } from "./agent/assignment.ts";
import type { AgentConfig, AgentPorts, StopCause } from "./agent/config.ts";
import { Duty, type DutyPhase } from "./agent/duty.ts";
import { Heartbeats } from "./agent/heartbeats.ts";
import { Jobs } from "./agent/jobs.ts";
import { ModelHolder } from "./agent/model-holder.ts";
import { PoolSockets } from "./agent/pool-sockets.ts";
import type { OfferedModel } from "./agent/ports.ts";
import type { Session } from "./agent/session.ts";
import { Shelf } from "./agent/shelf.ts";
import { Speeds } from "./agent/speeds.ts";
import { Standby } from "./agent/standby.ts";
import { stateOf, type AgentStatus } from "./agent/status.ts";
import { EngineError, type LoadedModel } from "./engine.ts";

/**
 * The agent of one machine. It wires four parts together and tells each what follows from the others: the sockets to
 * the coordinator's pools, the one loaded model, the running requests, and the current order. It does no I/O of its own:
 * everything goes through ports, and the simulator runs this same class on a virtual clock.
 */

/** Phases in which the machine changes models and the coordinator waits for its status. */
const MOVING: ReadonlySet<DutyPhase> = new Set(["draining", "loading", "visiting"]);

export class Agent {
  /** Settles when everything is closed and unloaded. */
  readonly finished: Promise<StopCause>;
  readonly #config: AgentConfig;
  readonly #ports: AgentPorts;
  readonly #shelf: Shelf;
  readonly #holder: ModelHolder;
  readonly #standby: Standby;
  readonly #jobs: Jobs;
  readonly #sockets: PoolSockets;
  readonly #duty: Duty;
  readonly #heartbeats: Heartbeats;
  readonly #speeds = new Speeds();
  #finish: (cause: StopCause) => void = () => {};
  #stopCause: StopCause | null = null;
  #isClosing = false;
  #wasServing = false;
  #reservedBecause: string | null = null;

  constructor(config: AgentConfig, ports: AgentPorts) {
    this.#config = config;
    this.#ports = ports;
    this.finished = new Promise((resolve) => {
      this.#finish = resolve;
    });
    this.#shelf = new Shelf(config.models);
    this.#holder = this.#createHolder();
    this.#standby = this.#createStandby();
    this.#jobs = this.#createJobs();
    this.#sockets = this.#createSockets();
    this.#duty = this.#createDuty();
    this.#heartbeats = new Heartbeats(ports.clock, {
      compose: () => composeHeartbeat(this.#view()),
      requestsOf: (session) => this.#jobs.countOf(session),
    });
  }

  #createHolder(): ModelHolder {
    return new ModelHolder(
      this.#config,
      {
        onChange: () => this.#onChange(),
        onProgress: (progress) => this.#duty.onProgress(progress),
        onLoadFailed: (model, error) => this.#standby.onFailure(model.id, error),
        onDied: (model, error) => this.#onDied(model.id, error),
      },
      this.#ports,
    );
  }

  #createStandby(): Standby {
    return new Standby(
      this.#shelf,
      this.#config.firstModel,
      this.#holder,
      {
        mayLoad: () => this.#stopCause === null,
        isManaged: () => this.#duty.isManaged(),
        listedPools: () => this.#sockets.listed(),
        reloadAssigned: () => this.#duty.reload(),
        onSuspended: (modelId, error) => this.#duty.onSuspended(modelId, error),
        onOfferChanged: () => this.#onOfferChanged(),
      },
      this.#ports,
    );
  }

  #createDuty(): Duty {
    return new Duty(
      this.#config,
      {
        onChange: () => this.#onDutyChange(),
        onReleased: () => this.#onReleased(),
        sessionOf: (pool) => this.#sockets.registeredIn(pool),
      },
      { ...this.#ports, shelf: this.#shelf, holder: this.#holder, jobs: this.#jobs },
    );
  }

  #createJobs(): Jobs {
    return new Jobs(
      {
        admit: (request) =>
          admit(request, {
            isStopping: this.#stopCause !== null,
            isReserved: this.#reservedBecause !== null,
            model: this.#offered().find(({ id }) => id === request.model_id),
            duty: this.#duty.view(),
            holding: this.#holder.holding(),
            running: this.#jobs.running(),
            held: this.#jobs.held(),
            slots: this.#holder.slots(),
          }),
        load: (model) => this.#holder.hold(model),
        visit: (model) => this.#duty.visit(model),
        onChange: () => this.#onChange(),
        onJobOver: () => this.#onJobOver(),
        onAnswered: (model, result) => {
          this.#standby.onAnswered(model);
          this.#speeds.note(model, result);
        },
        onStuck: (loaded) => this.#onStuck(loaded),
      },
      this.#ports,
    );
  }

  #createSockets(): PoolSockets {
    return new PoolSockets(
      {
        ownPools: () => this.#ownPools(),
        composeRegister: () => composeRegister(this.#config, this.#view(), this.#ports.attester !== null),
        onRegistered: (session, message) => this.#onRegistered(session, message),
        onMessage: (session, message) => this.#onMessage(session, message),
        onEnded: (session) => this.#onEnded(session),
        hasWork: (session) => this.#jobs.hasWork(session),
        mayRenew: () => !MOVING.has(this.#duty.view().phase),
        onRestChanged: () => this.#onRestChanged(),
        onStopOrder: (sentence) => {
          this.#ports.log.error(sentence);
          this.stop({ kind: "told_by_coordinator", sentence });
        },
      },
      this.#ports,
    );
  }

  /** Connects, and meanwhile loads the assigned model or the owner's choice, so that it is warm for the first request. */
  start(): void {
    this.#duty.resume();
    this.#standby.fill();
    this.#sockets.start(this.#duty.held().epoch);
    this.#heartbeats.start();
  }

  /** Offers one more model, which is on disk and has an id of its own. */
  offer(model: OfferedModel): void {
    if (this.#stopCause !== null) return;
    this.#ports.log.info("offering", { model: model.id });
    this.#shelf.add(model);
    this.#sockets.grow(model.id, this.#duty.isManaged());
    this.#onChange();
    this.#standby.fill();
  }

  /** From now on it serves its owner only, for this reason, or everybody again if there is none; what runs goes on. */
  reserve(because: string | null): void {
    if (because === this.#reservedBecause) return;
    this.#reservedBecause = because;
    if (because === null) this.#ports.log.info("serving everybody again");
    else this.#ports.log.info("serving the owner only", { because, running: this.#jobs.held() });
    this.#heartbeats.onChange();
  }

  /** Announces the stop, lets running requests end, then closes everything. `finished` settles after that. */
  stop(cause: StopCause = { kind: "asked" }): void {
    if (this.#stopCause !== null) return;
    this.#stopCause = cause;
    this.#ports.log.info("stopping", { running: this.#jobs.held() });
    this.#standby.stop();
    this.#duty.stop();
    this.#heartbeats.onChange();
    // Before anything is closed: from here on a socket that ends must not be replaced.
    this.#sockets.stopDialing();
    this.#jobs.refuseWaiting("stopping", "this machine is stopping");
    this.#closeWhenIdle();
  }

  /** Cancels what runs and closes everything now. `finished` settles when the engine is gone. */
  abort(): void {
    this.stop();
    this.#jobs.abandonAll();
    this.#sockets.closeAll("stopping at once");
    this.#closeWhenIdle();
  }

  status(): AgentStatus {
    const { phase, assigned } = this.#duty.view();
    return {
      state: stateOf(this.#stopCause !== null, phase, this.#holder.holding()),
      model: phase === "loading" || phase === "failed" ? assigned : this.#holder.modelId(),
      progress: this.#holder.progress(),
      running: this.#taken(),
      slots: this.#holder.slots(),
      tokens: this.#jobs.tokensWritten(),
      pools: this.#sockets.registered().length,
      nextDialAt: this.#sockets.nextDialAt(),
      reservedBecause: this.#reservedBecause,
      assignment:
        assigned === null
          ? null
          : { model: assigned, epoch: this.#duty.held().epoch, reason: this.#duty.reason(), phase },
    };
  }

  #onRegistered(session: Session, message: Registered): void {
    this.#ports.log.info("connected", { pool: message.pool, pools: message.pools.join(" ") });
    this.#duty.take(orderOf(message.assignment));
    if (!this.#duty.isManaged()) this.#standby.fill();
    this.#heartbeats.greet(session, message.heartbeat_ms);
    this.#onChange();
  }

  #onMessage(session: Session, message: Exclude<Downstream, Registered>): void {
    switch (message.type) {
      case "assign_model":
        this.#sockets.follow(session, message.epoch, message.pools);
        if (this.#duty.take(orderOf(message))) this.#heartbeats.remind(session);
        return;
      case "inference_request":
        if (message.flush_ms !== undefined) session.outbox.setFlushInterval(message.flush_ms);
        this.#jobs.take(session, message);
        return;
      case "cancel":
        this.#jobs.cancel(session, message.stream);
        return;
      case "pause":
        session.outbox.pause(message.stream);
        return;
      case "resume":
        session.outbox.resume(message.stream);
        return;
      case "attestation_challenge":
        this.#prove(session, message);
        return;
    }
  }

  #prove(session: Session, challenge: AttestationChallenge): void {
    const { attester } = this.#ports;
    if (attester !== null) session.send(composeProof(this.#config, challenge, attester));
  }

  /** An engine that ignores an abort ignores everything: only its end frees the slot. */
  #onStuck(loaded: LoadedModel): void {
    const holding = this.#holder.holding();
    if (holding.status !== "loaded" || holding.loaded !== loaded) return;
    const error = new EngineError("fault", "engine_hangs", "the engine does not stop a request");
    this.#ports.log.error("the engine does not stop a request: restarting it", { model: loaded.model.id });
    void this.#holder.release(error.message);
    this.#onDied(loaded.model.id, error);
  }

  #onDied(modelId: string, error: EngineError): void {
    this.#duty.onDied(modelId);
    this.#standby.onFailure(modelId, error);
  }

  #onReleased(): void {
    // While it was managed it offered all its models, also those that keep failing.
    if (this.#offered().length < this.#shelf.all().length) this.#onOfferChanged();
    this.#standby.fill();
  }

  #onEnded(session: Session): void {
    this.#heartbeats.forget(session);
    this.#jobs.sessionEnded(session);
    this.#onChange();
    if (this.#isClosing) this.#finishWhenClosed();
  }

  #onJobOver(): void {
    // Its socket may have been kept open only for this job.
    this.#sockets.reconcile();
    this.#closeWhenIdle();
  }

  #onChange(): void {
    this.#heartbeats.onChange();
    const { state, model, pools } = this.status();
    const isServing = state === "serving" && pools > 0;
    if (isServing && !this.#wasServing) this.#ports.log.info("serving", { model, pools });
    this.#wasServing = isServing;
  }

  #onDutyChange(): void {
    this.#onChange();
    // A socket that is to be renewed is left alone while the machine changes models.
    this.#sockets.reconcile();
  }

  #onRestChanged(): void {
    if (this.#sockets.needsRest())
      this.#ports.log.info(
        "taking no new requests until those that run are done: only then can the coordinator be told of the new models",
      );
    this.#onChange();
  }

  #onOfferChanged(): void {
    const offered = this.#offered();
    this.#heartbeats.onChange();
    // With nothing left to offer the sockets stay, and the heartbeat says that no work is accepted.
    if (offered.length === 0 || this.#duty.isManaged()) return;
    const withdrawn = this.#shelf.all().filter((model) => !offered.includes(model));
    this.#sockets.renew(withdrawn.map(({ id }) => id));
  }

  #closeWhenIdle(): void {
    if (this.#stopCause === null || this.#isClosing || !this.#jobs.isEmpty()) return;
    this.#isClosing = true;
    this.#heartbeats.stop();
    this.#sockets.closeAll("stopping");
    this.#finishWhenClosed();
  }

  #finishWhenClosed(): void {
    const cause = this.#stopCause;
    if (cause === null || !this.#sockets.isEmpty()) return;
    void this.#holder.release("this machine is stopping").then(() => this.#finish(cause));
  }

  /** The models that requests may ask for. A managed machine offers all of them, suspended ones too. */
  #offered(): readonly OfferedModel[] {
    return this.#duty.isManaged() ? this.#shelf.all() : this.#standby.offered();
  }

  /** A managed machine names its assigned pool, unless that one does not exist any more (H19). */
  #ownPools(): ModelId[] {
    const offered = this.#offered();
    const own = (offered.length > 0 ? offered : this.#shelf.all()).map(({ id }) => id);
    const { assigned } = this.#duty.view();
    return assigned === null ? own : [assigned, ...own.filter((id) => id !== assigned)];
  }

  /** Slots that are not free. While they drain for its owner, a machine may have more requests than slots. */
  #taken(): number {
    return Math.min(this.#jobs.held(), this.#holder.slots());
  }

  #isAccepting(): boolean {
    if (this.#stopCause !== null || this.#duty.view().phase === "visiting") return false;
    return !this.#sockets.needsRest();
  }

  #view(): MachineView {
    const holding = this.#holder.holding();
    const loadedId = holding.status === "loaded" ? holding.loaded.model.id : null;
    const offered = this.#offered();
    return {
      backend: this.#ports.engine.name,
      offered,
      loaded: this.#shelf
        .all()
        .filter(({ id }) => id === loadedId)
        .map(({ id }) => id),
      speedOf: (model) => this.#speeds.of(model),
      contextOf: (model) => this.#holder.contextOf(model),
      held: this.#duty.held(),
      taken: this.#taken(),
      slots: this.#holder.slots(),
      accepting: this.#isAccepting() && offered.length > 0,
      reserved: this.#reservedBecause !== null,
      vitals: this.#ports.vitals(),
    };
  }
}
