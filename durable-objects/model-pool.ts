import { DurableObject } from "cloudflare:workers";

import { encodeError } from "../core/api-error.ts";
import { USAGE_FLUSH_INTERVAL_MS } from "../core/limits.ts";
import type { Connection } from "../core/pool/connection.ts";
import { Pool, type Admission, type AdmissionQuestion, type PoolReport } from "../core/pool/pool.ts";
import type { PoolRequest } from "../core/pool/request.ts";
import type { UsageRow } from "../core/pool/usage.ts";
import { modelIdSchema, type MachineId, type ModelId } from "../protocol/ids.ts";
import { PING, PONG } from "../protocol/limits.ts";
import { SUBPROTOCOL } from "../protocol/version.ts";
import { ClientAnswer } from "./client-answer.ts";
import { decodeDial } from "./dial.ts";
import type { Env } from "./env.ts";
import { fleetStub } from "./fleet-stub.ts";
import { logWarning } from "./log.ts";
import { decodePoolCall } from "./pool-call.ts";
import { ProviderSocket, savedState } from "./provider-socket.ts";
import { PoolStore } from "./storage/pool-store.ts";

/**
 * One model's pool as a Durable Object: a thin shell around `core/pool`. It accepts provider sockets that survive
 * hibernation, turns platform events into calls on the core, and gives the core a clock. It sleeps whenever no
 * request is open: no timer is kept then, and pings are answered by the platform.
 */
export class ModelPool extends DurableObject<Env> {
  readonly #pool: Pool;
  readonly #store: PoolStore;
  readonly #connections = new Map<WebSocket, Connection>();
  #timer: { readonly at: number; readonly id: ReturnType<typeof setTimeout> } | null = null;
  /** When the counters are written next; null while there is nothing to write. */
  #flushAt: number | null = null;

  constructor(context: DurableObjectState, env: Env) {
    super(context, env);
    context.setWebSocketAutoResponse(new WebSocketRequestResponsePair(PING, PONG));
    this.#store = new PoolStore(context.storage);
    const model = modelIdSchema.parse(context.id.name?.split("#")[0]);
    this.#pool = new Pool(
      model,
      {
        askFleet: (connection, question) => context.waitUntil(this.#askFleet(connection, question)),
        rememberMachine: (machineId) => this.#store.rememberMachine(machineId),
        forgetMachine: (machineId) => this.#store.forgetMachine(machineId),
      },
      this.#store.connectedMachines(),
      Date.now(),
    );
    for (const socket of context.getWebSockets()) {
      const state = savedState(socket);
      if (state === null || socket.readyState !== WebSocket.OPEN) continue;
      const port = new ProviderSocket(context, socket);
      this.#connections.set(socket, this.#pool.connect(port, state.identity, state));
    }
  }

  /** A provider's upgrade or a client's request, both prepared by the Worker. */
  override async fetch(request: Request): Promise<Response> {
    const isUpgrade = request.headers.get("upgrade")?.toLowerCase() === "websocket";
    return isUpgrade ? this.#accept(request) : this.#answer(request);
  }

  override webSocketMessage(socket: WebSocket, message: string | ArrayBuffer): void {
    const connection = this.#connections.get(socket);
    if (connection === undefined) return;
    const now = Date.now();
    if (typeof message === "string") this.#pool.receive(connection, message, now);
    else this.#pool.receiveFrame(connection, message, now);
    this.#arm(now);
  }

  override webSocketClose(socket: WebSocket): void {
    this.#lost(socket);
  }

  override webSocketError(socket: WebSocket): void {
    this.#lost(socket);
  }

  /** Closes dead sockets. Returns the machines that still hold one. */
  sweep(): string[] {
    const now = Date.now();
    const machines = this.#pool.sweep(now);
    this.#arm(now);
    return machines;
  }

  /** Closes every socket that was dialed with this token, with 4005. */
  revokeToken(tokenId: string): void {
    this.#pool.revoke(tokenId, Date.now());
  }

  /** Tells a machine, if it is here, which pools it should be in from now on. */
  announcePools(machineId: MachineId, pools: ModelId[]): void {
    this.#pool.announcePools(machineId, pools);
  }

  report(slotsPerMachine: number): PoolReport {
    return this.#pool.report(Date.now(), slotsPerMachine);
  }

  /** Usage by hour since `since` (ms since the epoch), what is still in memory included. */
  usage(since: number): UsageRow[] {
    const now = Date.now();
    this.#flush(now);
    this.#arm(now);
    return this.#store.usageSince(since);
  }

  #accept(request: Request): Response {
    const { machineId, owner, tokenId } = decodeDial(request);
    const { 0: client, 1: server } = new WebSocketPair();
    this.ctx.acceptWebSocket(server);
    const now = Date.now();
    const identity = { machineId, owner, tokenId, acceptedAt: now };
    this.#connections.set(server, this.#pool.connect(new ProviderSocket(this.ctx, server), identity, null));
    this.#arm(now);
    return new Response(null, {
      status: 101,
      webSocket: client,
      headers: { "sec-websocket-protocol": SUBPROTOCOL },
    });
  }

  async #answer(request: Request): Promise<Response> {
    const call = decodePoolCall(request);
    if (call === null) {
      const { status, headers, body } = encodeError({
        code: "internal",
        message: "not a call from the Worker",
      });
      return new Response(body, { status, headers });
    }
    const body = await request.text();
    let open: PoolRequest | null = null;
    const abandon = (): void => {
      if (open !== null) this.#pool.abandon(open, Date.now());
    };
    const resume = (): void => {
      if (open !== null) this.#pool.resume(open, Date.now());
    };
    const answer = new ClientAnswer(call.echoedId, resume, abandon);
    const now = Date.now();
    open = this.#pool.submit({ ...call, body }, answer, now);
    if (request.signal.aborted) abandon();
    else request.signal.addEventListener("abort", abandon, { once: true });
    this.#arm(now);
    return answer.response;
  }

  async #askFleet(connection: Connection, question: AdmissionQuestion): Promise<void> {
    let admission: Admission;
    try {
      admission = await fleetStub(this.env).register(question);
    } catch (error) {
      // Without the fleet's word the key is unknown; the machine dials again within two seconds.
      logWarning("fleet_unreachable", {
        machineId: question.identity.machineId,
        error: String(error),
      });
      admission = { admitted: false, close: "restart" };
    }
    const now = Date.now();
    this.#pool.admitted(connection, admission, now);
    this.#arm(now);
  }

  #lost(socket: WebSocket): void {
    const now = Date.now();
    const connection = this.#connections.get(socket);
    if (connection === undefined) {
      const state = savedState(socket);
      if (state !== null) this.#pool.lostAsleep(state, now);
    } else {
      this.#connections.delete(socket);
      this.#pool.disconnected(connection, now);
    }
    this.#arm(now);
  }

  /**
   * Keeps one timer for the core's deadlines and the counters, and none when there is nothing to wait for: a timer
   * that is no longer needed would keep the object from sleeping.
   */
  #arm(now: number): void {
    if (this.#flushAt === null && !this.#pool.usage.isEmpty) this.#flushAt = now + USAGE_FLUSH_INTERVAL_MS;
    const wakeAt = Math.min(this.#pool.nextTickAt(now) ?? Infinity, this.#flushAt ?? Infinity);
    // While requests are open each event asks for a tick a little later than the one that is set already.
    if (this.#timer !== null && wakeAt >= this.#timer.at && wakeAt !== Infinity) return;
    if (this.#timer !== null) clearTimeout(this.#timer.id);
    this.#timer =
      wakeAt === Infinity ? null : { at: wakeAt, id: setTimeout(() => this.#tick(), wakeAt - now) };
  }

  #tick(): void {
    this.#timer = null;
    const now = Date.now();
    this.#pool.tick(now);
    if (this.#flushAt !== null && now >= this.#flushAt) this.#flush(now);
    this.#arm(now);
  }

  #flush(now: number): void {
    this.#flushAt = null;
    const rows = this.#pool.usage.drain();
    if (rows.length > 0) this.#store.addUsage(rows, now);
  }
}
