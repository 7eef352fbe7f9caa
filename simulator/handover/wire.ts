import type { Connection, ConnectionState, PoolSocket } from "../../core/pool/connection.ts";
import { CLOSE, type CloseReason } from "../../protocol/close-codes.ts";
import { PING, PONG } from "../../protocol/limits.ts";
import type { Socket, SocketEnd, SocketListener } from "../../provider/src/agent/ports.ts";
import { copyOf } from "./copy.ts";
import type { MachineHost } from "./machine-host.ts";
import type { PoolHost } from "./pool-host.ts";
import type { World } from "./world.ts";

/**
 * One provider socket with both its ends. Frames keep their order in each direction, except for statuses, which the network
 * may delay or repeat. The two ends notice a cut at different times, or not at all.
 */
export class Wire {
  readonly machine: MachineHost;
  /** Owner of the machine when it dialed. */
  readonly owner: string;
  readonly agentEnd: Socket;
  readonly poolEnd: PoolSocket;
  pool: PoolHost | null = null;
  connection: Connection | null = null;
  saved: ConnectionState | null = null;
  /** What its pool has heard from the machine about the requests that it takes. */
  said = { isPrivate: false, isReserved: false, accepts: true };
  /** Whether the connection is cut: nothing gets through any more. */
  isCut = false;
  agentEnded = false;
  poolEnded = false;
  readonly #world: World;
  readonly #listener: SocketListener;
  #upAt = 0;
  #downAt = 0;
  #pongAt = 0;

  constructor(world: World, machine: MachineHost, listener: SocketListener) {
    this.#world = world;
    this.machine = machine;
    this.owner = machine.owner;
    this.#listener = listener;
    this.agentEnd = {
      sendText: (text) => this.#sendUp(text),
      sendBytes: (bytes) => {
        const copy = bytes.slice();
        this.#up(() => this.pool?.receiveFrame(this, copy.buffer));
      },
      bufferedBytes: () => 0,
      close: (code) => this.#closeFromAgent(code),
      terminate: () => this.#terminate(),
    };
    this.poolEnd = {
      send: (text) => this.#sendDown(text),
      close: (reason, detail) => this.closeFromPool(reason, detail),
      save: (state) => {
        this.saved = copyOf(state);
      },
      lastPongAt: () => this.#pongAt,
    };
  }

  get isOpen(): boolean {
    return !this.isCut && !this.agentEnded && !this.poolEnded;
  }

  open(): void {
    if (!this.agentEnded && this.machine.runs(this) && this.machine.sleepsForMs === 0)
      this.#listener.onOpen();
  }

  /** The upgrade was refused, or the network gave up before it was answered. */
  refuse(end: SocketEnd): void {
    this.poolEnded = true;
    this.#endAgent(end);
  }

  /** Cuts the socket; each end notices at its own time. */
  cut(agentNoticesMs: number, poolNoticesMs: number): void {
    this.isCut = true;
    this.#world.clock.after(agentNoticesMs, () => this.#endAgent(LOST));
    this.#world.clock.after(poolNoticesMs, () => this.pool?.lost(this, LOST.code));
  }

  closeFromPool(reason: CloseReason, detail?: string): void {
    if (this.poolEnded) return;
    this.#world.log(() => `${this.name()} closed by the pool: ${reason} ${detail ?? ""}`);
    this.#world.invariants.onClosed(this, reason);
    const { code } = CLOSE[reason];
    this.#down(() => this.#endAgent({ kind: "closed", code, reason }));
    this.poolEnded = true;
    this.pool?.detach(this);
  }

  name(): string {
    return `${this.machine.id}~${this.pool?.model ?? "?"}`;
  }

  #sendUp(text: string): void {
    if (text === PING) {
      this.#up(() => {
        this.#pongAt = this.pool?.now() ?? 0;
        this.#down(() => this.#listener.onText(PONG));
      });
      return;
    }
    const { network, dice, hooks } = this.#world;
    this.#world.invariants.onAgentSays(this.machine, text);
    const frame = hooks.fromAgent(text);
    const deliver = (): void => this.pool?.receive(this, frame);
    if (!text.startsWith('{"type":"assign_model_status"')) {
      this.#up(deliver);
      return;
    }
    if (network.fails(0.05)) return;
    if (network.fails(0.1)) this.#later(dice.whole(100, 20_000), deliver);
    else this.#up(deliver);
    if (network.fails(0.1)) this.#later(dice.whole(100, 20_000), deliver);
  }

  #later(delayMs: number, deliver: () => void): void {
    this.#world.clock.after(delayMs, () => {
      if (!this.isCut && !this.poolEnded) deliver();
    });
  }

  #up(deliver: () => void): void {
    if (this.agentEnded || this.isCut) return;
    const now = this.#world.clock.now();
    this.#upAt = Math.max(this.#upAt, now + this.#world.network.delayMs());
    this.#later(this.#upAt - now, deliver);
  }

  #sendDown(text: string): void {
    if (this.poolEnded) return;
    this.#world.invariants.onPoolSays(this, text);
    this.#down(() => {
      this.#world.log(() => `${this.name()} <- ${brief(text)}`);
      this.#listener.onText(text);
    });
  }

  #down(deliver: () => void): void {
    if (this.poolEnded || this.isCut) return;
    const now = this.#world.clock.now();
    this.#downAt = Math.max(this.#downAt, now + this.#world.network.delayMs());
    this.#world.clock.after(this.#downAt - now, () => {
      if (!this.isCut && !this.agentEnded && this.machine.runs(this)) deliver();
    });
  }

  #closeFromAgent(code: number): void {
    this.#up(() => {
      this.pool?.lost(this, code);
      this.#world.clock.after(this.#world.network.delayMs(), () =>
        this.#endAgent({ kind: "closed", code, reason: "" }),
      );
    });
  }

  #terminate(): void {
    this.agentEnded = true;
    const { dice, network } = this.#world;
    const noticedMs = network.fails(0.2) ? dice.whole(1000, 120_000) : network.delayMs();
    this.#world.clock.after(noticedMs, () => this.pool?.lost(this, LOST.code));
  }

  #endAgent(end: SocketEnd): void {
    if (this.agentEnded) return;
    const { sleepsForMs } = this.machine;
    if (sleepsForMs > 0) {
      this.#world.clock.after(sleepsForMs, () => this.#endAgent(end));
      return;
    }
    this.agentEnded = true;
    if (!this.machine.runs(this)) return;
    this.#world.log(() => `${this.name()} ended at the machine: ${JSON.stringify(end)}`);
    this.#listener.onEnd(end);
  }
}

const LOST = { kind: "closed", code: CLOSE.lost.code, reason: "" } as const;

/** The text of a message in the log. */
export function brief(text: string): string {
  return text.startsWith('{"type":"register"')
    ? `register ${text.slice(text.indexOf('"loaded'))}`
    : text.slice(0, 200);
}
