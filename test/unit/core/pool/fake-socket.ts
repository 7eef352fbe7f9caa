import type { ConnectionState, PoolSocket } from "../../../../core/pool/connection.ts";
import type { CloseReason } from "../../../../protocol/close-codes.ts";
import { decodeDownstream } from "../../../../protocol/codec.ts";

export type Message = Record<string, unknown> & { type: string };

/** A provider socket that remembers what the pool did with it and fails the test if it is used after its end. */
export class FakeSocket implements PoolSocket {
  /** Everything sent and not taken yet. */
  readonly sent: Message[] = [];
  closed: { reason: CloseReason; detail: string | undefined } | null = null;
  /** The network has taken it away; the pool has been told. */
  isGone = false;
  saved: ConnectionState | null = null;
  pongAt = 0;

  send(text: string): void {
    if (this.closed !== null || this.isGone) throw new Error("the pool sent on a closed socket");
    const decoded = decodeDownstream(text);
    if (!decoded.ok) throw new Error(`the pool sent what no provider understands: ${text.slice(0, 200)}`);
    this.sent.push(JSON.parse(text) as Message);
  }

  close(reason: CloseReason, detail?: string): void {
    if (this.closed !== null) throw new Error("the pool closed a socket twice");
    this.closed = { reason, detail };
  }

  save(state: ConnectionState): void {
    this.saved = structuredClone(state);
  }

  lastPongAt(): number {
    return this.pongAt;
  }

  /** The messages of one type, taken out. */
  take(type: string): Message[] {
    const taken = this.sent.filter((message) => message.type === type);
    for (const message of taken) this.sent.splice(this.sent.indexOf(message), 1);
    return taken;
  }
}
