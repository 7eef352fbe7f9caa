import { DurableObject } from "cloudflare:workers";

import { encodeError } from "../core/api-error.ts";
import type { RefusalCount } from "../core/edge-verdicts.ts";
import { DEMAND_NEWS_DELAY_MS, TICK_INTERVAL_MS, USAGE_FLUSH_INTERVAL_MS } from "../core/limits.ts";
import { modelOfPool } from "../core/pool-name.ts";
import type { Admission, AdmissionQuestion } from "../core/pool/admission.ts";
import type { Proof } from "../core/pool/attestation.ts";
import { perform, type PoolCall, type PoolReply } from "../core/pool/calls.ts";
import type { Connection } from "../core/pool/connection.ts";
import type { DemandRow } from "../core/pool/demand.ts";
import type { MachineWork } from "../core/pool/machine-work.ts";
import type { RequestOutcome } from "../core/pool/outcome.ts";
import { Pool } from "../core/pool/pool.ts";
import type { PoolNews } from "../core/pool/ports.ts";
import type { PoolReport } from "../core/pool/report.ts";
import type { PoolRequest } from "../core/pool/request.ts";
import { routeHeaders } from "../core/pool/route-headers.ts";
import type { UsageRow, UsageSpan } from "../core/pool/usage.ts";
import { CLOSE } from "../protocol/close-codes.ts";
import { machineIdSchema, modelIdSchema } from "../protocol/ids.ts";
import { PING, PONG } from "../protocol/limits.ts";
import { SUBPROTOCOL } from "../protocol/version.ts";
import { judgeProof } from "./attestation/judge-proof.ts";
import { BodyReader } from "./body-reader.ts";
import { ClientAnswer } from "./client-answer.ts";
import { decodeDial } from "./dial.ts";
import { decodeEdgeCall } from "./edge-call.ts";
import type { Env } from "./env.ts";
import { fleetStub } from "./fleet-stub.ts";
import { logError, logWarning } from "./log.ts";
import { savedState } from "./provider-socket.ts";
import { ProviderSockets } from "./provider-sockets.ts";
import { RequestLog } from "./request-log.ts";
import { settleTokens } from "./settle-tokens.ts";
import { PoolStore } from "./storage/pool-store.ts";

/**
 * One model's pool as a Durable Object: a thin shell around `core/pool`. It accepts provider sockets that survive
 * hibernation, turns platform events into calls on the core, and gives the core a clock. It sleeps whenever no
 * request is open: no timer is kept then, and pings are answered by the platform.
 */
export class ModelPool extends DurableObject<Env> {
  readonly #pool: Pool;
  readonly #store: PoolStore;
  readonly #log: RequestLog;
  readonly #sockets: ProviderSockets;
  #timer: { readonly at: number; readonly id: ReturnType<typeof setTimeout> } | null = null;
  readonly #bodies = new BodyReader();
  /** When the counters are written next; null while there is nothing to write. */
  #flushAt: number | null = null;
  /** When the alarm rings; null if this life of the object has not set it. */
  #alarmAt: number | null = null;

  constructor(context: DurableObjectState, env: Env) {
    super(context, env);
    context.setWebSocketAutoResponse(new WebSocketRequestResponsePair(PING, PONG));
    this.#store = new PoolStore(context.storage);
    this.#log = new RequestLog(env.REQUEST_POINTS);
    this.#sockets = new ProviderSockets(context, (...socket) => this.#pool.connect(...socket));
    const model = modelIdSchema.parse(modelOfPool(context.id.name ?? ""));
    this.#pool = new Pool(
      model,
      {
        askFleet: (connection, question) => context.waitUntil(this.#askFleet(connection, question)),
        tellFleet: (news) => context.waitUntil(this.#tellFleet(news)),
        askSupply: () => context.waitUntil(this.#askSupply()),
        ended: (outcome) => this.#ended(outcome),
        records: this.#store.records,
        cordons: this.#store.cordons,
        saveSettings: (settings) => this.#store.saveSettings(settings),
        rememberMachine: (machineId) => this.#store.rememberMachine(machineId),
        forgetMachine: (machineId) => this.#store.forgetMachine(machineId),
        nonce: () => crypto.randomUUID(),
        verifyProof: (connection, proof) => context.waitUntil(this.#verify(connection, proof)),
        random: () => Math.random(),
      },
      {
        sleepers: this.#sockets,
        remembered: () => this.#store.connectedMachines(),
        settings: this.#store.settings(),
        ledger: this.#store.ledger(),
      },
      Date.now(),
    );
    this.#sockets.wakeFirst();
  }

  /** A provider's upgrade or a client's request, both prepared by the Worker. */
  override async fetch(request: Request): Promise<Response> {
    const isUpgrade = request.headers.get("upgrade")?.toLowerCase() === "websocket";
    return isUpgrade ? this.#accept(request) : this.#answer(request);
  }

  override webSocketMessage(socket: WebSocket, message: string | ArrayBuffer): void {
    const connection = this.#sockets.connectionOf(socket);
    if (connection === undefined) return;
    const now = Date.now();
    if (typeof message === "string") {
      this.#pool.receive(connection, message, now);
      this.#arm(now);
    } else {
      this.#pool.receiveFrame(connection, message, now);
      // Bytes change no record, and while requests are open a tick is due soon.
      if (this.#timer === null) this.#arm(now);
    }
  }

  override webSocketClose(socket: WebSocket, code: number): void {
    this.#lost(socket, code);
    // The platform does not answer for a socket that may hibernate, and its provider waits for the answer.
    socket.close(isEchoable(code) ? code : 1000);
  }

  override webSocketError(socket: WebSocket): void {
    this.#lost(socket, CLOSE.lost.code);
  }

  /** The fleet's orders and questions. */
  perform(call: PoolCall): PoolReply {
    const now = Date.now();
    // Totals are written before they are shown, so that no later life shows less than this one has.
    if (call.kind === "read" && call.withTotals) this.#flush(now);
    const reply = perform(this.#pool, call, now);
    this.#arm(now);
    return reply;
  }

  /** Deadlines of assignments, which run on while the pool sleeps (H13). */
  override alarm(): void {
    this.#alarmAt = null;
    const now = Date.now();
    this.#pool.tick(now);
    this.#arm(now);
  }

  /** The Worker's count of what it has refused by verdicts of this pool. */
  refusedAtEdge(counts: readonly RefusalCount[]): void {
    const now = Date.now();
    this.#pool.refusedAtEdge(counts, now);
    this.#arm(now);
  }

  report(slotsPerMachine: number): PoolReport {
    return this.#pool.report(Date.now(), slotsPerMachine);
  }

  /** Usage since `since` (ms since the epoch), what is still in memory included; null if it is too much to be told at once. */
  usage(since: number, span: UsageSpan = "hour"): UsageRow[] | null {
    const now = Date.now();
    this.#flush(now);
    this.#arm(now);
    return this.#store.usageSince(since, span);
  }

  /** What a machine has answered for its owner on the days since `since` (ms since the epoch), what is still in memory included. */
  workOf(machineId: string, owner: string, since: number): MachineWork[] {
    const id = machineIdSchema.parse(machineId);
    const written = this.#store.work.of(id, owner, since);
    return this.#pool.ledger.work.withUnwritten({ machineId: id, owner }, since, written);
  }

  /** Demand by minute since `since` (ms since the epoch), what is still in memory included. */
  demand(since: number): DemandRow[] {
    const now = Date.now();
    this.#flush(now);
    this.#arm(now);
    return this.#store.demandSince(since);
  }

  /** Counters over all lives of the pool by name, for whoever cannot ask the fleet. Written first, as above. */
  totals(): ReadonlyMap<string, number> {
    const now = Date.now();
    this.#flush(now);
    this.#arm(now);
    return this.#pool.ledger.totals.all();
  }

  #accept(request: Request): Response {
    const { machineId, owner, tokenId, stamp } = decodeDial(request);
    const now = Date.now();
    if (!this.#pool.mayConnect(machineId, stamp, now)) {
      const { status, headers, body } = encodeError({
        code: "stale_route",
        message: "the pool knows something newer about this machine; dial again",
        retryAfterS: 1,
      });
      return new Response(body, { status, headers });
    }
    const { 0: client, 1: server } = new WebSocketPair();
    this.#sockets.accept(server, { machineId, owner, tokenId, acceptedAt: now });
    this.#arm(now);
    return new Response(null, {
      status: 101,
      webSocket: client,
      headers: { "sec-websocket-protocol": SUBPROTOCOL },
    });
  }

  async #answer(request: Request): Promise<Response> {
    const call = decodeEdgeCall(request);
    if (call === null) {
      const { status, headers, body } = encodeError({
        code: "internal",
        message: "not a call from the Worker",
      });
      return new Response(body, { status, headers });
    }
    const body = await this.#bodies.read(request, call.bodyChars);
    let open: PoolRequest | null = null;
    const abandon = (): void => {
      if (open !== null) this.#pool.abandon(open, Date.now());
    };
    const resume = (): void => {
      if (open !== null) this.#pool.resume(open, Date.now());
    };
    // What is refused at once has no way to tell of.
    const headers = (): Record<string, string> => (open === null ? {} : routeHeaders(open, Date.now()));
    const answer = new ClientAnswer(call.echoedId, headers, resume, abandon);
    const now = Date.now();
    open = this.#pool.submit({ ...call, body }, answer, now);
    const { signal } = request;
    if (signal.aborted) abandon();
    else signal.addEventListener("abort", abandon);
    this.#arm(now);
    return answer.response;
  }

  async #askFleet(connection: Connection, question: AdmissionQuestion): Promise<void> {
    let admission: Admission | null = null;
    try {
      admission = await fleetStub(this.env).register(question);
    } catch (error) {
      logWarning("fleet_unreachable", {
        machineId: question.identity.machineId,
        error: String(error),
      });
    }
    const now = Date.now();
    if (admission === null) this.#pool.fleetSilent(connection, now);
    else this.#pool.admitted(connection, admission, now);
    this.#arm(now);
  }

  async #tellFleet(news: PoolNews): Promise<void> {
    try {
      // The request that brings the news goes first: a fleet that sleeps has to read its whole directory to hear them.
      if (news.kind === "demand") await scheduler.wait(DEMAND_NEWS_DELAY_MS);
      await fleetStub(this.env).told(this.#pool.model, news);
    } catch (error) {
      // The fleet reads the records at its next tick, but a pool without machines only if it is in demand.
      if (news.kind === "demand") this.#pool.watch.unheard();
      logWarning("fleet_unreachable", { pool: this.#pool.model, news: news.kind, error: String(error) });
    }
  }

  async #askSupply(): Promise<void> {
    try {
      const settings = await fleetStub(this.env).settingsFor(this.#pool.model);
      this.#pool.configure(settings, Date.now());
    } catch (error) {
      // The requests that wait for the answer are refused in a moment, as those of an exhausted pool.
      logWarning("fleet_unreachable", { pool: this.#pool.model, error: String(error) });
    }
    this.#arm(Date.now());
  }

  async #verify(connection: Connection, proof: Proof): Promise<void> {
    const verdict = await judgeProof(proof, Date.now());
    this.#pool.judged(connection, proof.nonce, verdict, Date.now());
    this.#arm(Date.now());
  }

  #ended(ended: RequestOutcome): void {
    this.#log.add(ended);
    const { keyId, outcome, machine, reservation, tokens, leastTokens } = ended;
    if (reservation === null) return;
    // What a machine has done for a client that left in the middle nobody has counted, so the reservation stands, at least.
    const isUnknown = UNCOUNTED.includes(outcome) && machine !== null;
    const counted = tokens.promptTokens + tokens.completionTokens;
    const used = isUnknown ? Math.max(reservation.tokens, leastTokens) : counted;
    if (!isUnknown || used > reservation.tokens)
      this.ctx.waitUntil(settleTokens(this.env, keyId, reservation, used));
  }

  #lost(socket: WebSocket, code: number): void {
    const now = Date.now();
    const connection = this.#sockets.connectionOf(socket);
    if (connection === undefined) {
      const state = savedState(socket);
      if (state !== null) this.#pool.lostAsleep(state, now, code);
    } else {
      this.#sockets.remove(socket);
      this.#pool.disconnected(connection, now, code);
    }
    this.#arm(now);
  }

  /**
   * Keeps one timer for the core's deadlines and the counters, and none when there is nothing to wait for: a timer
   * that is no longer needed would keep the object from sleeping.
   */
  #arm(now: number): void {
    this.#armAlarm(now);
    if (this.#flushAt === null && !this.#pool.ledger.isWritten) this.#flushAt = now + USAGE_FLUSH_INTERVAL_MS;
    this.#log.write();
    // Nothing asks for a tick sooner than this, and each event for a little later than the one that is set already.
    if (this.#timer !== null && this.#timer.at <= now + TICK_INTERVAL_MS) return;
    const pointsAt = this.#log.isWritten ? Infinity : now + TICK_INTERVAL_MS;
    const wakeAt = Math.min(this.#pool.nextTickAt(now) ?? Infinity, this.#flushAt ?? Infinity, pointsAt);
    if (this.#timer !== null && wakeAt >= this.#timer.at && wakeAt !== Infinity) return;
    if (this.#timer !== null) clearTimeout(this.#timer.id);
    this.#timer =
      wakeAt === Infinity ? null : { at: wakeAt, id: setTimeout(() => this.#tick(), wakeAt - now) };
  }

  /** The alarm is set together with the record whose deadline it watches: nothing is awaited in between. */
  #armAlarm(now: number): void {
    const at = this.#pool.nextDeadlineAt();
    if (at === null || (this.#alarmAt !== null && this.#alarmAt <= at)) return;
    this.#alarmAt = Math.max(at, now + 1);
    void this.ctx.storage.setAlarm(this.#alarmAt);
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
    const { ledger, isIdle } = this.#pool;
    if (ledger.isWritten) return;
    try {
      this.#store.addEntries(ledger.drain(now, isIdle), now);
    } catch (error) {
      // As when the free plan's rows of a day are used up. Machines and their requests can do without.
      logError("counters_not_written", { pool: this.#pool.model, error: String(error) });
    }
  }
}

/** How requests end by their clients' doing, whatever their machines have done by then. */
const UNCOUNTED: readonly string[] = ["cancelled", "client_too_slow", "deadline_exceeded"];

/** Whether a close frame may carry the code: the others say that there was none, or are nobody's to send. */
function isEchoable(code: number): boolean {
  return code === 1000 || code === 1001 || (code >= 3000 && code < 5000);
}
