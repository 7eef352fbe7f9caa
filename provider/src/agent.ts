import type { Downstream, Registered } from "../../protocol/downstream.ts";
import type { MachineId, ModelId } from "../../protocol/ids.ts";
import type { Hardware, Heartbeat, Register } from "../../protocol/upstream.ts";
import { PROTOCOL_VERSION } from "../../protocol/version.ts";
import { admit } from "./agent/admission.ts";
import { Heartbeats } from "./agent/heartbeats.ts";
import { Jobs, type CreateAnswerEncoder } from "./agent/jobs.ts";
import { ModelHolder } from "./agent/model-holder.ts";
import { PoolSockets } from "./agent/pool-sockets.ts";
import type { Clock, Dial, Log, OfferedModel, Random, Vitals } from "./agent/ports.ts";
import type { Session } from "./agent/session.ts";
import { Standby } from "./agent/standby.ts";
import { EngineError, type Engine, type LoadedModel } from "./engine.ts";

/**
 * The agent of one machine: it holds the sockets to the coordinator's pools, the one loaded model and the requests
 * that run on it, and tells each of the three what follows from the others. It does no input or output of its own:
 * all comes in through ports, and a simulator drives this very class on a virtual clock.
 */

export interface AgentConfig {
  readonly version: string;
  readonly machineId: MachineId;
  /** New for every start of the program. */
  readonly sessionId: string;
  /** P-256 SPKI, base64. */
  readonly publicKey: string;
  readonly hardware: Hardware;
  /** At least one; the first is loaded at the start. */
  readonly models: readonly OfferedModel[];
  readonly slots: number;
  readonly contextTokens: number;
  /** Serve only the owner's own requests. */
  readonly privateOnly: boolean;
}

export interface AgentPorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly dial: Dial;
  readonly engine: Engine;
  readonly createAnswerEncoder: CreateAnswerEncoder;
  /** The newest known; cheap, called often. */
  readonly vitals: () => Vitals;
  readonly log: Log;
}

/** Why the agent has ended. */
export type StopCause =
  | { readonly kind: "asked" }
  | { readonly kind: "told_by_coordinator"; readonly sentence: string };

/** What a person wants to see of a running agent. */
export interface AgentStatus {
  readonly state: "serving" | "loading" | "idle" | "stopping";
  readonly model: string | null;
  /** Of a load, 0 to 1. */
  readonly progress: number;
  readonly running: number;
  readonly slots: number;
  /** Pieces of answers written since the start. */
  readonly tokens: number;
  readonly pools: number;
  /** When the next dial is due, if there is no connection. */
  readonly nextDialAt: number | null;
}

type Order = Extract<Downstream, { type: "assign_model" }> | Registered["assignment"];

export class Agent {
  /** Settles when everything is closed and unloaded. */
  readonly finished: Promise<StopCause>;
  readonly #config: AgentConfig;
  readonly #ports: AgentPorts;
  readonly #holder: ModelHolder;
  readonly #standby: Standby;
  readonly #jobs: Jobs;
  readonly #sockets: PoolSockets;
  readonly #heartbeats: Heartbeats;
  #finish: (cause: StopCause) => void = () => {};
  #stopCause: StopCause | null = null;
  #isClosing = false;
  #wasServing = false;
  #ignoredEpoch = 0;

  constructor(config: AgentConfig, ports: AgentPorts) {
    this.#config = config;
    this.#ports = ports;
    this.finished = new Promise((resolve) => {
      this.#finish = resolve;
    });
    this.#holder = new ModelHolder(
      config,
      {
        onChange: () => this.#onChange(),
        onLoadFailed: (model, error) => this.#standby.onFailure(model.id, error),
        onDied: (model, error) => this.#standby.onFailure(model.id, error),
      },
      ports,
    );
    this.#standby = new Standby(
      config.models,
      this.#holder,
      {
        mayLoad: () => this.#stopCause === null,
        onOfferChanged: () => this.#onOfferChanged(),
      },
      ports,
    );
    this.#jobs = this.#createJobs();
    this.#sockets = this.#createSockets();
    this.#heartbeats = new Heartbeats(ports.clock, () => this.#composeHeartbeat());
  }

  #createJobs(): Jobs {
    return new Jobs(
      {
        admit: (request) =>
          admit(request, {
            isStopping: this.#stopCause !== null,
            model: this.#standby.offered().find(({ id }) => id === request.model_id),
            holding: this.#holder.holding(),
            held: this.#jobs.held(),
            slots: this.#holder.slots(),
          }),
        load: (model) => this.#holder.hold(model),
        onChange: () => this.#onChange(),
        onJobOver: () => this.#onJobOver(),
        onAnswered: (model) => this.#standby.onAnswered(model),
        onStuck: (loaded) => this.#onStuck(loaded),
      },
      this.#ports,
    );
  }

  #createSockets(): PoolSockets {
    return new PoolSockets(
      {
        ownPools: () => this.#ownPools(),
        composeRegister: () => this.#composeRegister(),
        onRegistered: (session, message) => this.#onRegistered(session, message),
        onMessage: (session, message) => this.#onMessage(session, message),
        onEnded: (session) => this.#onEnded(session),
        hasWork: (session) => this.#jobs.hasWork(session),
        onStopOrder: (sentence) => {
          this.#ports.log.error(sentence);
          this.stop({ kind: "told_by_coordinator", sentence });
        },
      },
      this.#ports,
    );
  }

  /** Connects and meanwhile loads the first model, so that the first request finds it warm. */
  start(): void {
    this.#standby.fill();
    this.#sockets.start();
    this.#heartbeats.start();
  }

  /** Announces the stop, lets running requests end, then closes everything. `finished` settles after that. */
  stop(cause: StopCause = { kind: "asked" }): void {
    if (this.#stopCause !== null) return;
    this.#stopCause = cause;
    this.#ports.log.info("stopping", { running: this.#jobs.held() });
    this.#standby.stop();
    this.#heartbeats.onChange();
    // Before anything may close: a socket that ends from here on is not to be replaced.
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
    const holding = this.#holder.holding();
    const isLoading = holding.status === "loading";
    const held = holding.status === "loaded" ? holding.loaded.model.id : null;
    const serving = held === null ? "idle" : "serving";
    return {
      state: this.#stopCause !== null ? "stopping" : isLoading ? "loading" : serving,
      model: isLoading ? holding.model.id : held,
      progress: this.#holder.progress(),
      running: this.#jobs.held(),
      slots: this.#holder.slots(),
      tokens: this.#jobs.tokensWritten(),
      pools: this.#sockets.registered().length,
      nextDialAt: this.#sockets.nextDialAt(),
    };
  }

  #onRegistered(session: Session, message: Registered): void {
    this.#ports.log.info("connected", { pool: message.pool, pools: message.pools.join(" ") });
    this.#heartbeats.greet(session, message.heartbeat_ms);
    this.#onOrder(message.assignment);
    this.#onChange();
  }

  #onMessage(session: Session, message: Exclude<Downstream, Registered>): void {
    switch (message.type) {
      case "assign_model":
        this.#sockets.follow(message.epoch, message.pools);
        this.#onOrder(message);
        return;
      case "inference_request":
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
        // Unanswered, it leaves this machine at the trust level `none`, which is what it has.
        return;
    }
  }

  /**
   * The one place where assignments arrive, from `registered` and `assign_model` alike (H8). This machine does not
   * carry them out yet: it stays unmanaged, and the coordinator's deadline ends the order.
   */
  #onOrder({ model_id, epoch }: Order): void {
    if (epoch === 0 || model_id === null || epoch === this.#ignoredEpoch) return;
    this.#ignoredEpoch = epoch;
    this.#ports.log.warn("ignored an assignment: this provider is unmanaged", { model: model_id, epoch });
  }

  /** An engine that ignores an abort ignores everything: only its end frees the slot. */
  #onStuck(loaded: LoadedModel): void {
    const holding = this.#holder.holding();
    if (holding.status !== "loaded" || holding.loaded !== loaded) return;
    const error = new EngineError("fault", "engine_hangs", "the engine does not stop a request");
    this.#ports.log.error("the engine does not stop a request: restarting it", { model: loaded.model.id });
    void this.#holder.release(error.message);
    this.#standby.onFailure(loaded.model.id, error);
  }

  #onEnded(session: Session): void {
    this.#heartbeats.forget(session);
    this.#jobs.sessionEnded(session);
    this.#onChange();
    if (this.#isClosing) this.#finishWhenClosed();
  }

  #onJobOver(): void {
    // Its socket may have stayed only for it.
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

  #onOfferChanged(): void {
    const offered = this.#standby.offered();
    this.#heartbeats.onChange();
    // With nothing left to offer the sockets stay, and the heartbeat says that no work is accepted.
    if (offered.length === 0) return;
    const withdrawn = this.#config.models.filter((model) => !offered.includes(model));
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

  #ownPools(): ModelId[] {
    const offered = this.#standby.offered();
    return (offered.length > 0 ? offered : this.#config.models).map(({ id }) => id);
  }

  #loadedModels(): ModelId[] {
    const holding = this.#holder.holding();
    if (holding.status !== "loaded") return [];
    const { id } = holding.loaded.model;
    return this.#config.models.filter((model) => model.id === id).map((model) => model.id);
  }

  #composeRegister(): Register {
    const { version, machineId, sessionId, publicKey, hardware, privateOnly } = this.#config;
    return {
      type: "register",
      protocol: PROTOCOL_VERSION,
      version,
      machine_id: machineId,
      session_id: sessionId,
      backend: this.#ports.engine.name,
      public_key: publicKey,
      hardware,
      models: this.#standby.offered().map(({ id, sizeBytes, quantization }) => ({
        id,
        size_bytes: sizeBytes,
        ...(quantization === undefined ? {} : { quantization }),
      })),
      loaded_models: this.#loadedModels(),
      max_concurrency: this.#holder.slots(),
      assignment: null,
      ...(privateOnly ? { private_only: true } : {}),
    };
  }

  #composeHeartbeat(): Heartbeat {
    const vitals = this.#ports.vitals();
    return {
      type: "heartbeat",
      loaded_models: this.#loadedModels(),
      running: this.#jobs.held(),
      // Nothing queues here behind the slots: the pool queues.
      waiting: 0,
      max_concurrency: this.#holder.slots(),
      memory_free_gb: vitals.memoryFreeGb,
      memory_pressure: vitals.memoryPressure,
      thermal_state: vitals.thermalState,
      accepting: this.#stopCause === null && this.#standby.offered().length > 0,
      assignment: null,
    };
  }
}
