import type { ModelId } from "../../../protocol/ids.ts";
import type { EngineError } from "../engine.ts";
import type { ModelHolder } from "./model-holder.ts";
import { ModelSuspensions } from "./model-suspensions.ts";
import type { Clock, Log, OfferedModel } from "./ports.ts";
import type { Shelf } from "./shelf.ts";

/**
 * Keeps a model loaded while no request asks for one, so that the first request is fast: at the start the owner's
 * choice, and after a crash of the engine the model that was loaded. A model that keeps failing is suspended and the
 * next one is loaded instead. If the owner chose none, it is the first model for which the coordinator lists a pool,
 * because files that are in no catalog are never asked for. A managed machine only ever reloads its assigned model (D4).
 */

const RETRY_BASE_MS = 1000;
const RETRY_MAX_MS = 60_000;

export interface StandbyHost {
  /** Whether the machine may load models by itself now. */
  mayLoad(): boolean;
  /** Whether the coordinator has chosen the model. */
  isManaged(): boolean;
  /** The machine's pools as the coordinator listed them last; empty before it has. */
  listedPools(): readonly ModelId[];
  /** Loads the assigned model again if that is due. */
  reloadAssigned(): void;
  onSuspended(modelId: string, error: EngineError): void;
  /** The set of models that are offered has changed. */
  onOfferChanged(): void;
}

export interface StandbyPorts {
  readonly clock: Clock;
  readonly log: Log;
}

export class Standby {
  readonly #shelf: Shelf;
  readonly #holder: ModelHolder;
  readonly #host: StandbyHost;
  readonly #ports: StandbyPorts;
  readonly #suspensions = new ModelSuspensions();
  #preferred: ModelId | null;
  #cancelRetry: (() => void) | null = null;
  #cancelReturn: (() => void) | null = null;

  /** @param firstModel the owner's choice */
  constructor(
    shelf: Shelf,
    firstModel: ModelId | null,
    holder: ModelHolder,
    host: StandbyHost,
    ports: StandbyPorts,
  ) {
    this.#shelf = shelf;
    this.#preferred = firstModel;
    this.#holder = holder;
    this.#host = host;
    this.#ports = ports;
  }

  /** The models of this machine that may be asked for now. */
  offered(): OfferedModel[] {
    const now = this.#ports.clock.now();
    return this.#shelf.all().filter((model) => !this.#suspensions.isSuspended(model.id, now));
  }

  /** Loads a model if none is loaded, loading or due for a retry, and it is known which one is wanted. */
  fill(): void {
    if (!this.#host.mayLoad() || this.#holder.holding().status !== "empty" || this.#cancelRetry !== null)
      return;
    if (this.#host.isManaged()) {
      this.#host.reloadAssigned();
      return;
    }
    const offered = this.offered();
    const listed = this.#host.listedPools();
    const model =
      offered.find(({ id }) => id === this.#preferred) ?? offered.find(({ id }) => listed.includes(id));
    if (model === undefined) return;
    // A failure arrives through `onFailure`.
    this.#holder.hold(model).catch(() => {});
  }

  onAnswered(id: OfferedModel["id"]): void {
    this.#suspensions.noteAnswer(id);
  }

  /** A load failed or a loaded model's engine died. */
  onFailure(modelId: string, error: EngineError): void {
    const { clock } = this.#ports;
    const model = this.#shelf.find(modelId);
    if (model === undefined) return;
    this.#preferred = model.id;
    if (this.#suspensions.noteFailure(model.id, clock.now(), error.over !== undefined))
      this.#onSuspended(model, error);
    const failures = this.#suspensions.failuresInRow(model.id);
    this.#cancelRetry?.();
    this.#cancelRetry = clock.after(retryMs(failures), () => {
      this.#cancelRetry = null;
      this.fill();
    });
  }

  stop(): void {
    this.#cancelRetry?.();
    this.#cancelReturn?.();
    this.#cancelRetry = null;
    this.#cancelReturn = null;
  }

  #onSuspended(model: OfferedModel, error: EngineError): void {
    const [what, until, cure] =
      error.over === undefined
        ? ["keeps failing", "for 10 minutes", "check its file or server, and the free memory"]
        : ["cannot work now", "until it can, or for 10 minutes", "check its server"];
    // A managed machine offers what it has, and tries again when it is ordered to.
    const consequence = this.#host.isManaged() ? "" : ` and is not offered ${until}`;
    this.#ports.log.error(`this model ${what}${consequence}: ${cure}`, {
      model: model.id,
      path: model.path,
      code: error.code,
      reason: error.message,
    });
    this.#preferred = null;
    this.#awaitReturn();
    void error.over?.then(() => this.#onOver(model));
    this.#host.onSuspended(model.id, error);
    this.#host.onOfferChanged();
  }

  #onOver({ id }: OfferedModel): void {
    const { clock, log } = this.#ports;
    if (!this.#host.mayLoad() || !this.#suspensions.isSuspended(id, clock.now())) return;
    this.#suspensions.lift(id, clock.now());
    log.info("this model can work again", { model: id });
    this.#preferred ??= id;
    this.#awaitReturn();
    this.#host.onOfferChanged();
    this.#cancelRetry?.();
    this.#cancelRetry = null;
    this.fill();
  }

  #awaitReturn(): void {
    const { clock, log } = this.#ports;
    const at = this.#suspensions.nextReturnAt(clock.now());
    this.#cancelReturn?.();
    this.#cancelReturn = null;
    if (at === null) return;
    this.#cancelReturn = clock.after(at - clock.now(), () => {
      log.info("offering all models again that were set aside");
      this.#awaitReturn();
      this.#host.onOfferChanged();
      this.fill();
    });
  }
}

function retryMs(failuresInRow: number): number {
  return Math.min(RETRY_MAX_MS, RETRY_BASE_MS * 2 ** Math.min(failuresInRow, 10));
}
