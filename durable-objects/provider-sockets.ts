import type { Connection, ConnectionState, Identity, PoolSocket } from "../core/pool/connection.ts";
import type { Sleepers } from "../core/pool/ports.ts";
import { ProviderSocket, savedState } from "./provider-socket.ts";

/**
 * The sockets of a pool's machines, each with the connection that the core knows it by. Those that have slept with the pool are
 * restored from what is saved with them, part by part and only as far as they are needed: there may be thousands.
 */

/** Sockets are woken by the tag. */
const TAGS = Array.from({ length: 16 }, (_, index) => `part-${index}`);

/** A pool that wakes has so many sockets at hand at least, or all: enough to choose from. */
const AWAKE_MIN = 512;

/** Gives a socket to the core. @param restored null for one that was just accepted. */
type Connect = (socket: PoolSocket, identity: Identity, restored: ConnectionState | null) => Connection;

export class ProviderSockets implements Sleepers {
  readonly #context: DurableObjectState;
  readonly #connect: Connect;
  readonly #connections = new Map<WebSocket, Connection>();
  /** Tags of the sockets that have slept with the pool and have not been looked at since. */
  readonly #asleep = [...TAGS];

  constructor(context: DurableObjectState, connect: Connect) {
    this.#context = context;
    this.#connect = connect;
  }

  hasMore(): boolean {
    return this.#asleep.length > 0;
  }

  wakeSome(): void {
    for (const socket of this.#context.getWebSockets(this.#asleep.pop())) {
      // It was accepted since.
      if (this.#connections.has(socket)) continue;
      const state = savedState(socket);
      if (state === null || socket.readyState !== WebSocket.OPEN) continue;
      this.#add(socket, state.identity, state);
    }
  }

  /** Wakes as many as a pool wants at hand from the start. */
  wakeFirst(): void {
    while (this.hasMore() && this.#connections.size < AWAKE_MIN) this.wakeSome();
  }

  /** Takes the pool's end of an upgrade; it may hibernate. */
  accept(socket: WebSocket, identity: Identity): void {
    this.#context.acceptWebSocket(socket, [TAGS[this.#connections.size % TAGS.length] ?? ""]);
    this.#add(socket, identity, null);
  }

  /** Undefined if it is closed already, or was never accepted. */
  connectionOf(socket: WebSocket): Connection | undefined {
    while (this.hasMore() && !this.#connections.has(socket)) this.wakeSome();
    return this.#connections.get(socket);
  }

  /** The socket is gone. */
  remove(socket: WebSocket): void {
    this.#connections.delete(socket);
  }

  #add(socket: WebSocket, identity: Identity, restored: ConnectionState | null): void {
    const port = new ProviderSocket(this.#context, socket);
    this.#connections.set(socket, this.#connect(port, identity, restored));
  }
}
