import { encodeError, type ApiError } from "../../core/api-error.ts";
import type { DialVerdict } from "../../core/fleet/admissions.ts";
import { FLEET_ANSWER_TIMEOUT_MS } from "../../core/limits.ts";
import type { ModelId } from "../../protocol/ids.ts";
import type { Wire } from "./wire.ts";
import type { World } from "./world.ts";

/** Routes a dial as `worker/routes/providers.ts` does: asks the fleet, and uses the named pool if it does not answer. */
export class Worker {
  readonly #world: World;

  constructor(world: World) {
    this.#world = world;
  }

  connect(wire: Wire, named: ModelId): void {
    const { clock, network } = this.#world;
    clock.after(network.delayMs(), () => {
      if (network.fails(0.03)) wire.refuse({ kind: "closed", code: 1006, reason: "" });
      else this.#ask(wire, named);
    });
  }

  #ask(wire: Wire, named: ModelId): void {
    const { clock, network, fleet } = this.#world;
    const { id } = wire.machine;
    let isAnswered = false;
    const answer = (verdict: DialVerdict): void => {
      if (isAnswered) return;
      isAnswered = true;
      cancel();
      if (!verdict.ok) refuse(wire, verdict.error);
      else clock.after(network.delayMs(), () => this.#upgrade(wire, verdict));
    };
    const unanswered: DialVerdict = { ok: true, pool: named, stamp: { mode: "unknown" } };
    const cancel = clock.after(FLEET_ANSWER_TIMEOUT_MS, () => answer(unanswered));
    network.call(
      () => fleet.dial({ machineId: id, owner: wire.owner, tokenId: "token" }, named),
      answer,
      () => answer(unanswered),
    );
  }

  #upgrade(wire: Wire, { pool, stamp }: Extract<DialVerdict, { ok: true }>): void {
    const { clock, network } = this.#world;
    const host = this.#world.poolOf(pool);
    if (host.isUnreachable) {
      wire.refuse({ kind: "closed", code: 1006, reason: "" });
      return;
    }
    if (!host.accept(wire, { machineId: wire.machine.id, owner: wire.owner, tokenId: "token" }, stamp)) {
      refuse(wire, { code: "stale_route", message: "", retryAfterS: 1 });
      return;
    }
    if (network.fails(0.02)) wire.cut(network.delayMs(), network.delayMs());
    else clock.after(network.delayMs(), () => wire.open());
  }
}

function refuse(wire: Wire, error: ApiError): void {
  const { status } = encodeError(error);
  const retryAfterMs = error.retryAfterS === undefined ? null : error.retryAfterS * 1000;
  wire.refuse({ kind: "refused", status, code: error.code, message: error.message, retryAfterMs });
}
