import { WebSocket } from "ws";

import { PING, PING_INTERVAL_MS } from "../../protocol/limits.ts";
import { M3_ULTRA } from "../../protocol/sample-hardware.ts";
import type { Hardware } from "../../protocol/upstream.ts";
import { PROTOCOL_VERSION, SUBPROTOCOL } from "../../protocol/version.ts";

/** A machine on a real socket that says what the test wants it to say, whether a provider would or not. */

export interface PuppetOptions {
  readonly hardware?: Partial<Hardware>;
  readonly version?: string;
  readonly token?: string;
}

interface Strings extends PuppetOptions {
  readonly url: string;
  readonly token: string;
  readonly machineId: string;
  /** On its disk; it dials the pool of the first, which it has loaded. */
  readonly models: readonly string[];
}

interface Order {
  readonly type: "assign_model";
  readonly model_id: string;
  readonly epoch: number;
}

export class Puppet {
  readonly registered: Promise<void>;
  /** The first order that comes. */
  readonly ordered: Promise<Order>;
  /** The code with which its socket was closed. */
  readonly closed: Promise<number>;
  readonly #socket: WebSocket;
  readonly #ping: NodeJS.Timeout;

  constructor({ url, token, machineId, models, hardware = {}, version = "0.7.0" }: Strings) {
    const [first = ""] = models;
    const address = `${url.replace("http", "ws")}/v1/providers/connect?machine=${machineId}&pool=${encodeURIComponent(first)}`;
    this.#socket = new WebSocket(address, SUBPROTOCOL, { headers: { authorization: `Bearer ${token}` } });
    this.#ping = setInterval(() => {
      if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(PING);
    }, PING_INTERVAL_MS);
    this.closed = new Promise((resolve) => this.#socket.on("close", resolve));
    this.#socket.on("open", () =>
      this.send({
        type: "register",
        protocol: PROTOCOL_VERSION,
        version,
        machine_id: machineId,
        session_id: "puppet",
        backend: "puppet",
        public_key: `key-of-${machineId}`,
        hardware: { ...M3_ULTRA, ...hardware },
        models: models.map((id) => ({ id, size_bytes: 1_000_000 })),
        loaded_models: [first],
        max_concurrency: 4,
        assignment: null,
      }),
    );
    this.registered = this.#heard("registered").then(() => undefined);
    this.ordered = this.#heard("assign_model") as Promise<Order>;
  }

  send(message: object): void {
    this.#socket.send(JSON.stringify(message));
  }

  close(): void {
    clearInterval(this.#ping);
    this.#socket.terminate();
  }

  #heard(type: string): Promise<object> {
    const heard = new Promise<object>((resolve, reject) => {
      this.#socket.on("error", reject);
      this.#socket.on("close", (code) => reject(new Error(`its socket was closed with ${code}`)));
      this.#socket.on("message", (data: Buffer) => {
        if (!data.toString().startsWith("{")) return;
        const message = JSON.parse(data.toString()) as { type: string };
        if (message.type === type) resolve(message);
      });
    });
    // Not every test waits for it.
    heard.catch(() => undefined);
    return heard;
  }
}
