import type { ConnectionState, PoolSocket } from "../core/pool/connection.ts";
import { CLOSE, type CloseReason } from "../protocol/close-codes.ts";

/** A hibernatable socket as the pool core wants it. */
export class ProviderSocket implements PoolSocket {
  readonly #context: DurableObjectState;
  readonly #socket: WebSocket;

  constructor(context: DurableObjectState, socket: WebSocket) {
    this.#context = context;
    this.#socket = socket;
  }

  send(text: string): void {
    // A socket that is closing throws on send; its close event follows and settles what ran on it.
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(text);
  }

  close(reason: CloseReason, detail?: string): void {
    if (this.#socket.readyState >= WebSocket.CLOSING) return;
    const { code, meaning } = CLOSE[reason];
    // The reason of a close frame holds 123 bytes at most.
    this.#socket.close(code, (detail ?? meaning).replaceAll(/[^\x20-\x7e]/g, "?").slice(0, 120));
  }

  save(state: ConnectionState): void {
    this.#socket.serializeAttachment(state);
  }

  lastPongAt(): number {
    return this.#context.getWebSocketAutoResponseTimestamp(this.#socket)?.getTime() ?? 0;
  }
}

/** The state saved on a socket. Our own code wrote it and a deploy closes all sockets, so its shape is certain. */
export function savedState(socket: WebSocket): ConnectionState | null {
  const attachment: unknown = socket.deserializeAttachment();
  return isConnectionState(attachment) ? attachment : null;
}

function isConnectionState(value: unknown): value is ConnectionState {
  return typeof value === "object" && value !== null && "identity" in value && "streamsReserved" in value;
}
