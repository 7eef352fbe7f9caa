import type { Clock, Log } from "./agent/ports.ts";
import type { AgentStatus } from "./agent/status.ts";
import type { Explain } from "./explain.ts";

/** While the machine has nothing to do, tells its owner why: asked after each change, and then once a minute. */

const LOOK_MS = 1000;
/** After a change the coordinator has to hear of it first. */
const SETTLE_MS = 2000;
const REPEAT_MS = 60_000;

export interface IdleWatchPorts {
  readonly clock: Clock;
  readonly status: () => AgentStatus;
  readonly explain: Explain;
  /** Which models are still to come to this machine, which the coordinator cannot know; null if none. */
  readonly coming: () => string | null;
  readonly log: Log;
}

export class IdleWatch {
  readonly #ports: IdleWatchPorts;
  #situation = "";
  #askAt = 0;
  #said = "";
  #isAsking = false;
  #hasFailed = false;
  #isStopped = false;
  #cancelLook: () => void = () => {};

  constructor(ports: IdleWatchPorts) {
    this.#ports = ports;
  }

  start(): void {
    this.#look();
  }

  stop(): void {
    this.#isStopped = true;
    this.#cancelLook();
  }

  #look(): void {
    const { clock } = this.#ports;
    const { pools, running, assignment } = this.#ports.status();
    const now = clock.now();
    const situation = [pools, assignment?.epoch, assignment?.phase].join(" ");
    if (situation !== this.#situation) {
      this.#situation = situation;
      this.#askAt = now + SETTLE_MS;
    }
    if (pools > 0 && running === 0 && now >= this.#askAt && !this.#isAsking) {
      this.#askAt = now + REPEAT_MS;
      void this.#ask();
    }
    this.#cancelLook = clock.after(LOOK_MS, () => this.#look());
  }

  async #ask(): Promise<void> {
    const { explain, status, log, coming } = this.#ports;
    this.#isAsking = true;
    const explanation = await explain();
    this.#isAsking = false;
    if (this.#isStopped) return;
    if (explanation === null) {
      // Nothing depends on the answer, so once is enough.
      if (!this.#hasFailed) log.info("the coordinator does not say why this machine is idle");
      this.#hasFailed = true;
      return;
    }
    const { gate, why, fix, advice } = explanation;
    // What would be worth more changes with the demand, and is told with the rest.
    // A number that only counts down or up is no news.
    const said = `${why} ${fix ?? ""}`.replaceAll(/\d+ (%|s|min|h)\b/g, "");
    if (said === this.#said || status().running > 0) return;
    this.#said = said;
    const toCome = coming();
    log.info("why idle", {
      gate,
      why,
      fix,
      ...(advice === null ? {} : { advice }),
      ...(toCome === null ? {} : { coming: toCome }),
    });
  }
}
