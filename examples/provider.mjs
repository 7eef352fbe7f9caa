/**
 * A whole provider in one file, for whoever writes one in another language: to be read beside docs/protocol.md, which
 * is the contract. It does what that page asks of a provider, with an engine that makes its tokens up.
 *
 *   POOLKEEPER_PROVIDER_TOKEN=... npx node examples/provider.mjs http://127.0.0.1:8787 example.json tiny-bard tiny-verse
 *
 * `npm start` in another terminal brings a coordinator that has these two models in its catalog; the token is the
 * `provider_token` of its `.poolkeeper/dev.json`. `example.json` is where it keeps its id, its key and its assignment; the
 * models after it are those that it offers.
 *
 * Nothing is imported but the package `ws`: Node's own WebSocket can send the token, but hides the status of a refused
 * upgrade, by which it is decided when to dial again.
 *
 * Left out is what a provider may leave out: embeddings, visits of its owner, `private_only` and measured speeds; and
 * an engine that dies. The types in comments are checked against `protocol/`, and a copy of this file does without them.
 */
import { generateKeyPairSync, randomBytes, sign } from "node:crypto";
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { cpus, freemem, totalmem } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";

import { WebSocket } from "ws";

/** @import { Downstream } from "../protocol/downstream.ts" */
/** @import { Heartbeat, Register, Upstream } from "../protocol/upstream.ts" */
/** @typedef {Extract<Upstream, { type: "assign_model_status" }>} Status */

const SLOTS = 2;
const MIB = 1024 * 1024;
const [coordinator = "", stateFile = "", ...models] = process.argv.slice(2);
const token = process.env["POOLKEEPER_PROVIDER_TOKEN"];
if (models.length === 0 || token === undefined) {
  console.error("POOLKEEPER_PROVIDER_TOKEN=... provider.mjs <coordinator> <state file> <model>...");
  process.exit(2);
}

// ---- The engine: put a real one here. It holds one model at a time.

/** Resolves once the model can serve; the signal says that another one is wanted now. */
async function load(model, onProgress, signal) {
  for (const progress of [0.25, 0.5, 0.75, 1]) {
    await sleep(150, undefined, { signal });
    onProgress(progress);
  }
  console.log(`loaded ${model}`);
}

/** Resolves once the memory is free again, or after 10 s. */
async function unload() {
  await sleep(50);
}

/** Yields the text of each token, and stops soon after the signal. `body` is the client's JSON. */
async function* generate({ model_id, body }, signal) {
  for (let i = 0; i < (body.max_tokens ?? 12) && !signal.aborted; i += 1) {
    await sleep(20);
    yield i === 0 ? `I am ${model_id}.` : ` ${i}`;
  }
}

const countTokens = (messages) => Math.ceil(JSON.stringify(messages).length / 4);

// ---- What must survive a restart.

let state = existsSync(stateFile) ? JSON.parse(readFileSync(stateFile, "utf8")) : firstState();
save({});

/** The private key proves whose the id is. */
function firstState() {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return {
    machine_id: `example-${randomBytes(6).toString("hex")}`,
    public_key: publicKey.export({ type: "spki", format: "der" }).toString("base64"),
    private_key: privateKey.export({ type: "pkcs8", format: "pem" }),
    assignment: null, // {model_id, epoch} of the newest order
  };
}

/** Is on disk when this returns. */
function save(changes) {
  const next = { ...state, ...changes };
  writeFileSync(`${stateFile}.new`, JSON.stringify(next), { mode: 0o600, flush: true });
  renameSync(`${stateFile}.new`, stateFile);
  state = next;
}

/** The model that this machine has to hold; null if it serves any. */
const assigned = () => state.assignment?.model_id ?? null;

// ---- Sockets: one for each pool in the newest list, and never none.

const sessionId = randomBytes(12).toString("hex"); // new for each start, the same on all sockets
const sockets = new Set();
/** @type {{ epoch: number, pools: string[] }} */
let list = { epoch: state.assignment?.epoch ?? 0, pools: [] };
const redials = new Map(); // pool -> the dial that waits: {timer, isMissing}
const rows = new Map(); // pool -> how many sockets in a row did not hold
let isStopping = false;

const alive = () => [...sockets].filter((socket) => !socket.isClosing);
const registered = () => alive().filter((socket) => socket.registeredAt !== null);
const isServed = (pool) => alive().some((socket) => socket.pool === pool);
/** Nothing is connected, dialing or about to dial; a pool that does not exist is no reason not to try another. */
const isAlone = () => alive().length === 0 && [...redials.values()].every(({ isMissing }) => isMissing);

/** Makes the sockets match the list; called whenever something has changed that matters for it. */
function reconcile() {
  if (isStopping) return;
  for (const pool of list.pools) if (!isServed(pool) && !redials.has(pool)) dial(pool);
  // The last one stays, listed or not, until one that is listed has registered.
  if (registered().some(({ pool }) => list.pools.includes(pool))) {
    for (const socket of registered()) {
      if (!list.pools.includes(socket.pool) && jobsOf(socket).length === 0) close(socket);
    }
  }
  if (!isAlone()) return;
  const own = assigned() === null ? models : [assigned(), ...models];
  const pool = [...list.pools, ...own].find((id) => !redials.has(id));
  if (pool !== undefined) dial(pool);
}

function dial(pool) {
  const url = new URL("/v1/providers/connect", coordinator.replace(/^http/, "ws"));
  url.search = String(new URLSearchParams({ machine: state.machine_id, pool }));
  const ws = new WebSocket(url, ["poolkeeper.v1"], {
    headers: { authorization: `Bearer ${token}` },
    perMessageDeflate: false,
    maxPayload: 17 * MIB,
    handshakeTimeout: 15_000,
  });
  // The pool asked for; the coordinator may put the socket into another one, and says so in `registered`.
  const socket = { ws, asked: pool, pool, registeredAt: null, heardEpoch: 0, flushMs: 40, flushTimer: null };
  Object.assign(socket, { isClosing: false, refusal: null, pinging: null, beating: null });
  sockets.add(socket);
  // For `registered`, and from then on for the next `pong`.
  const patience = setTimeout(() => ws.terminate(), 60_000);
  ws.on("open", () => {
    patience.refresh();
    send(socket, register());
    ws.send("ping");
    socket.pinging = setInterval(() => ws.send("ping"), 20_000);
  });
  ws.on("message", (data, isBinary) => {
    const text = isBinary ? "" : String(data);
    if (text === "pong" && socket.registeredAt !== null) patience.refresh();
    if (text.startsWith("{") && !socket.isClosing) onMessage(socket, JSON.parse(text));
  });
  ws.on("unexpected-response", (_, response) => {
    let body = "";
    response.on("data", (part) => (body += part));
    response.on("close", () => {
      const code = /"code":\s*"(\w+)"/.exec(body)?.[1] ?? null;
      const retryAfterMs = Number(response.headers["retry-after"]) * 1000 || 0;
      socket.refusal = { status: response.statusCode, code, retryAfterMs };
      ws.terminate();
    });
  });
  ws.on("error", () => {}); // "close" comes after it
  ws.on("close", (code) => {
    for (const timer of [patience, socket.pinging, socket.beating, socket.flushTimer]) clearTimeout(timer);
    onEnded(socket, code);
  });
}

/** @param {Upstream} message */
function send(socket, message) {
  socket.ws.send(JSON.stringify(message));
}

function close(socket) {
  socket.isClosing = true;
  socket.ws.close(1000);
}

function onEnded(socket, code) {
  const how = socket.refusal === null ? `closed with ${code}` : `refused with ${socket.refusal.status}`;
  console.log(`${socket.pool}: ${how}`);
  sockets.delete(socket);
  if (!socket.isClosing && !isStopping) planRedial(socket, code);
  for (const job of jobsOf(socket)) end(job, "cancelled", "socket_lost"); // nobody is left to answer
  reconcile();
}

function planRedial({ pool, refusal, registeredAt, heardEpoch }, code) {
  if (registeredAt !== null && performance.now() - registeredAt >= 10_000) rows.delete(pool);
  const ms = waitAfter(code, refusal, countFailure(pool));
  if (ms === null) {
    console.error(`the coordinator does not want this machine: ${refusal?.code ?? code}`);
    process.exitCode = 1;
    void stop();
    return;
  }
  const isMissing = refusal?.status === 404;
  let isWanted = isMissing || list.pools.length === 0 || list.pools.includes(pool);
  if (code === 4001 && isServed(pool)) return; // replaced by another socket of this program
  if (code === 4002) {
    // Released, unless the newest list names the pool and had not come to it.
    isWanted &&= heardEpoch < list.epoch;
    if (!isWanted) list.pools = list.pools.filter((id) => id !== pool);
  }
  if (isWanted || isAlone()) dialLater(pool, ms, isMissing);
}

/** @returns how many there were before in this row */
function countFailure(pool) {
  const before = rows.get(pool) ?? 0;
  rows.set(pool, before + 1);
  return before;
}

function dialLater(pool, ms, isMissing) {
  const dialNow = () => {
    redials.delete(pool);
    if (!isServed(pool)) dial(pool);
  };
  console.log(`${pool}: next dial in ${Math.round(ms)} ms`);
  clearTimeout(redials.get(pool)?.timer);
  redials.set(pool, { timer: setTimeout(dialNow, ms), isMissing });
}

/** How many milliseconds to wait for the next dial; null: stop for good. */
function waitAfter(code, refusal, failures) {
  if (refusal !== null) {
    const { status, retryAfterMs } = refusal;
    if ([400, 403, 426].includes(status) && refusal.code !== null) return null;
    if (status === 401) return 60_000;
    if (status === 404) return Math.min(5 * 60_000, 15_000 * 2 ** failures);
    return Math.min(retryAfterMs, 60 * 60_000) + backoff(failures);
  }
  if ([4005, 4006, 4007].includes(code)) return null;
  if (code === 4000) return 30_000;
  if (code === 4001) return between(5000, 30_000);
  return [1001, 1006, 1012].includes(code) && failures === 0 ? between(0, 2000) : backoff(failures);
}

const backoff = (failures) => between(500, Math.min(60_000, 1000 * 2 ** failures));
const between = (low, high) => low + (high - low) * Math.random();

/** Lists are ordered by their epochs; of equal ones the newest counts. */
function takeList(socket, epoch, pools) {
  socket.heardEpoch = Math.max(socket.heardEpoch, epoch);
  if (epoch < list.epoch) return;
  for (const [pool, { timer }] of redials) {
    // The pool of a new order waits for this machine, whatever came of earlier dials.
    if (pools.includes(pool) && epoch === list.epoch) continue;
    clearTimeout(timer);
    redials.delete(pool);
  }
  list = { epoch, pools };
}

// ---- Messages.

/** @returns {Register} */
function register() {
  const { loaded_models, max_concurrency, assignment } = heartbeat();
  const chip = { machine_model: "", chip_name: cpus()[0]?.model ?? "", chip_family: "", chip_tier: "" };
  return {
    type: "register",
    protocol: 1,
    version: "0.7.0", // `provider.current` of `GET /version` when this was written
    machine_id: state.machine_id,
    session_id: sessionId,
    backend: "made-up",
    public_key: state.public_key,
    attests: true,
    hardware: { ...chip, memory_gb: totalmem() / 1e9, gpu_cores: 0, memory_bandwidth_gbs: 100 },
    models: models.map((id) => ({ id: asId(id), size_bytes: 3_000_000 })),
    loaded_models,
    max_concurrency,
    assignment,
  };
}

/** @returns {Heartbeat} */
function heartbeat() {
  return {
    type: "heartbeat",
    loaded_models: loaded === null ? [] : [asId(loaded)],
    running: takenSlots().length,
    waiting: 0,
    max_concurrency: SLOTS,
    memory_free_gb: freemem() / 1e9,
    memory_pressure: 0,
    thermal_state: "nominal",
    accepting: !isStopping,
    assignment: state.assignment,
  };
}

/** The types of `protocol/` tell ids from other texts. */
const asId = (id) => id;

/** @type {NodeJS.Timeout | undefined} */
let newsTimer;

/** Something has changed that heartbeats show. Changes come in bursts, so they are collected for a moment. */
function changed() {
  newsTimer ??= setTimeout(tellAll, 20);
}

function tellAll() {
  clearTimeout(newsTimer);
  newsTimer = undefined;
  for (const socket of registered()) send(socket, heartbeat());
}

/** @param {Downstream} message */
function onMessage(socket, message) {
  switch (message.type) {
    case "registered":
      onRegistered(socket, message);
      break;
    case "assign_model":
      takeList(socket, message.epoch, message.pools);
      takeOrder(socket, message);
      reconcile();
      break;
    case "inference_request":
      onRequest(socket, message);
      break;
    case "cancel":
      for (const job of jobsOf(socket, message.stream)) end(job, "cancelled", "cancelled");
      break;
    case "pause":
    case "resume":
      for (const job of jobsOf(socket, message.stream)) job.isPaused = message.type === "pause";
      flushSoon(socket);
      break;
    case "attestation_challenge":
      prove(socket, message);
  }
}

/** Signs the status as it is sent, behind what was asked; r and s, 32 bytes each. */
function prove(socket, { nonce, issued_at }) {
  const status = JSON.stringify({ machine_id: state.machine_id, session_id: sessionId });
  const key = { key: state.private_key, dsaEncoding: /** @type {const} */ ("ieee-p1363") };
  const signature = sign("sha256", Buffer.from(`${nonce}${issued_at}${status}`), key).toString("base64");
  send(socket, { type: "attestation_response", nonce, signature, status });
}

function onRegistered(socket, { pool, pools, assignment, heartbeat_ms, flush_ms }) {
  socket.registeredAt ??= performance.now();
  socket.pool = pool;
  socket.flushMs = flush_ms;
  socket.beating ??= setInterval(() => send(socket, heartbeat()), heartbeat_ms);
  takeList(socket, assignment.epoch, pools);
  if (!isServed(socket.asked) && !redials.has(socket.asked) && pools.includes(socket.asked)) {
    // It was put elsewhere: to ask for the same again at once would go round in a circle.
    dialLater(socket.asked, backoff(countFailure(socket.asked)), false);
  }
  takeOrder(socket, assignment);
  send(socket, heartbeat());
  reconcile();
}

// ---- Orders: which model to hold. They come twice, late and in any order; only the epoch tells what is new.

let duty = "free"; // to serve any model; or "switching" to the assigned one, "holding" it, "failed" to
let task = new AbortController(); // the switch under way; a newer order ends it
/** @type {Status | null} */
let status = null; // the newest `assign_model_status` of the order that is held

function takeOrder(socket, { model_id, epoch, drain_ms }) {
  const held = state.assignment?.epoch ?? 0;
  if (epoch === 0) return;
  let refusal = epoch === held && model_id !== assigned() ? "epoch_conflict" : null;
  try {
    if (epoch > held) save({ assignment: { model_id, epoch } });
  } catch {
    refusal = "load_failed"; // nothing is done that is not on disk
  }
  if (refusal !== null || epoch <= held) {
    if (refusal === null && status !== null) tell(status);
    // There is no status for an order to hold nothing: the heartbeat has to do.
    if (refusal !== null && model_id !== null)
      tell(statusOf({ model_id, epoch }, "failed", errorOf(refusal)));
    send(socket, heartbeat());
    return;
  }
  console.log(`epoch ${epoch}: hold ${model_id ?? "any model"}`);
  obey(drain_ms);
}

/** Begins to do what the assignment on disk says. */
function obey(drainMs) {
  task.abort();
  task = new AbortController();
  status = null;
  duty = assigned() === null ? "free" : "switching";
  changed();
  if (duty === "free") return;
  // They have not been accepted, so another machine may take them.
  for (const job of jobs) if (job.phase === "waiting") end(job, "capacity", "switching_model");
  void switchTo(state.assignment, drainMs, task.signal);
}

/** After each wait it asks whether it is still wanted: an order that was overtaken does nothing and says nothing. */
async function switchTo(order, drainMs, signal) {
  try {
    if (!models.includes(order.model_id)) throw new Error("model_not_on_disk");
    if (loaded !== order.model_id || loading !== null) {
      if (takenSlots().length > 0) report(statusOf(order, "draining"));
      await drain(drainMs, signal);
      signal.throwIfAborted();
      report(statusOf(order, "loading", { progress: 0 }));
      await hold(order.model_id);
      signal.throwIfAborted();
    }
    duty = "holding";
    report(statusOf(order, "succeeded"));
  } catch {
    if (signal.aborted) return;
    duty = "failed";
    const code = models.includes(order.model_id) ? "load_failed" : "model_not_on_disk";
    report(statusOf(order, "failed", errorOf(code)));
  }
  changed();
}

/** Streams without a byte cost nothing if they go elsewhere; the others get twice the time. */
async function drain(drainMs, signal) {
  const startedAt = performance.now();
  while (takenSlots().length > 0 && !signal.aborted) {
    const spentMs = performance.now() - startedAt;
    for (const job of takenSlots()) {
      if (spentMs >= drainMs * (job.hasSent ? 2 : 1)) end(job, "capacity", "switching_model");
    }
    await sleep(20);
  }
}

function report(next) {
  status = next;
  tell(status);
}

/** Only the pool of the model hears of an order. */
function tell(message) {
  for (const socket of registered()) if (socket.pool === message.model_id) send(socket, message);
}

/** @returns {Status} */
function statusOf({ model_id, epoch }, word, more = {}) {
  return { type: "assign_model_status", model_id, epoch, status: word, ...more };
}

const errorOf = (code) => ({ error: { code, message: code } });

// ---- Memory: one model at a time.

/** @type {string | null} */
let loaded = null; // the model that can serve
/** @type {{ model: string, abort: AbortController, done: Promise<void> } | null} */
let loading = null; // the load under way

/** Makes this model the only one in memory. Joins a load of it, and ends a load of another. */
function hold(model) {
  const before = loading;
  if (before !== null && before.model === model) return before.done;
  if (before === null && loaded === model) return Promise.resolve();
  before?.abort.abort();
  const abort = new AbortController();
  const done = replace(model, before, abort.signal).finally(() => {
    if (loading?.abort === abort) loading = null;
    changed();
  });
  loading = { model, abort, done };
  return done;
}

async function replace(model, before, signal) {
  await before?.done.catch(() => {}); // those who waited for it know
  signal.throwIfAborted();
  if (loaded !== null) {
    loaded = null;
    changed();
    await unload();
  }
  let toldAt = performance.now();
  const onProgress = (progress) => {
    if (status?.status !== "loading" || status.model_id !== model) return;
    status = { ...status, progress };
    if (performance.now() - toldAt < 500) return; // at most twice a second
    toldAt = performance.now();
    tell(status);
  };
  await load(model, onProgress, signal);
  loaded = model;
}

// ---- Requests.

const jobs = new Set(); // from their arrival to their last word
const jobsOf = (socket, stream) =>
  [...jobs].filter((job) => job.socket === socket && (stream === undefined || job.stream === stream));
/** A slot is free again when the engine is done, though the last bytes may still have to go out. */
const takenSlots = () => [...jobs].filter(({ phase }) => phase !== "delivering");

/** Refusals come before a request is accepted, never after. @returns {[string, string] | null} class and code */
function refusalOf({ endpoint, model_id }) {
  if (isStopping) return ["capacity", "stopping"];
  if (endpoint !== "/v1/chat/completions") return ["client", "unsupported"];
  if (duty === "switching") return ["capacity", "switching_model"];
  // Also for an `owner_bypass`, which asks a machine to leave its model for its owner.
  const isElsewhere = duty === "holding" && model_id !== assigned();
  if (duty === "failed" || isElsewhere || !models.includes(model_id))
    return ["capacity", "not_assigned_model"];
  if (loading !== null && loading.model !== model_id) return ["capacity", "switching_model"];
  // It leaves its model for another one only while nothing runs.
  const slots = loading !== null || loaded === model_id ? SLOTS : 1;
  return takenSlots().length < slots ? null : ["capacity", "no_free_slot"];
}

function onRequest(socket, request) {
  const { stream, deadline_ms } = request;
  socket.flushMs = request.flush_ms ?? socket.flushMs;
  const job = { socket, request, stream, arrivedAt: performance.now(), phase: "waiting" };
  Object.assign(job, { abort: new AbortController(), failure: null });
  Object.assign(job, { pending: Buffer.alloc(0), hasSent: false, isPaused: false });
  const refusal = refusalOf(request);
  if (refusal !== null) {
    sendError(job, refusal);
    return;
  }
  jobs.add(job);
  changed();
  const onDeadline = () => {
    if (job.phase === "waiting") end(job, "capacity", "switching_model");
    else end(job, "fault", "deadline_exceeded");
  };
  const deadline = setTimeout(onDeadline, deadline_ms);
  void run(job).finally(() => {
    clearTimeout(deadline);
    forget(job);
  });
}

/** Ends a request before its time; the engine stops, and then `run` says the last word. */
function end(job, kind, code) {
  if (job.failure !== null) return;
  job.failure = [kind, code];
  job.abort.abort();
  // What its client has begun to read goes on to here; nothing may go out of what another machine will answer.
  if (!job.hasSent || job.isPaused || kind === "cancelled") job.pending = Buffer.alloc(0);
  if (job.phase !== "waiting") return;
  sendError(job, job.failure);
  forget(job);
}

function sendError({ socket, stream, request: { request_id } }, [kind, code]) {
  console.log(`${request_id}: ${code}`);
  send(socket, { type: "inference_error", request_id, stream, class: kind, code, message: code });
}

function forget(job) {
  if (!jobs.delete(job)) return;
  changed();
  reconcile();
}

async function run(job) {
  const { socket, stream, request } = job;
  const { request_id, model_id } = request;
  await hold(model_id).catch(() => end(job, "fault", "load_failed"));
  if (job.failure !== null) return; // told while it waited
  job.phase = "running";
  send(socket, { type: "inference_accepted", request_id, stream });
  const acceptedAt = performance.now();
  let [firstAt, lastAt] = [0, acceptedAt];
  const answer = answerTo(request);
  try {
    for await (const text of generate(request, job.abort.signal)) {
      lastAt = performance.now();
      firstAt ||= lastAt;
      if (job.failure !== null) break;
      write(job, answer.next(text));
      while (job.pending.length > MIB) await sleep(socket.flushMs); // its reader is behind
    }
  } catch {
    end(job, "fault", "engine_failed");
  }
  job.phase = "delivering";
  changed();
  if (job.failure === null) write(job, answer.rest());
  flush(socket);
  while (job.pending.length > 0) await sleep(socket.flushMs);
  if (job.failure !== null) {
    sendError(job, job.failure);
    return;
  }
  send(socket, {
    type: "inference_complete",
    request_id,
    stream,
    usage: answer.usage(),
    finish_reason: answer.finishReason(),
    timings: {
      queue_ms: acceptedAt - job.arrivedAt,
      prefill_ms: (firstAt || lastAt) - acceptedAt,
      decode_ms: lastAt - (firstAt || lastAt),
    },
  });
}

/** The bytes of an answer: events as the tokens come, or one JSON text at the end. */
function answerTo({ request_id, body }) {
  const head = { id: `chatcmpl-${request_id}`, created: Math.floor(Date.now() / 1000), model: body.model };
  let content = "";
  let tokens = 0;
  const usage = () => ({ prompt_tokens: countTokens(body.messages), completion_tokens: tokens });
  const fullUsage = () => ({ ...usage(), total_tokens: usage().prompt_tokens + tokens });
  const finishReason = () => (tokens === body.max_tokens ? "length" : "stop");
  const event = (choices, more = {}) =>
    `data: ${JSON.stringify({ ...head, object: "chat.completion.chunk", choices, ...more })}\n\n`;
  const chunk = (delta, finish_reason) => event([{ index: 0, delta, logprobs: null, finish_reason }]);
  return {
    usage,
    finishReason,
    next(text) {
      content += text;
      tokens += 1;
      if (body.stream !== true) return "";
      // The role comes with the first text: bytes that say nothing would end the chance of another attempt.
      return chunk(tokens === 1 ? { role: "assistant", content: text } : { content: text }, null);
    },
    rest() {
      if (body.stream === true) {
        const last = body.stream_options?.include_usage ? event([], { usage: fullUsage() }) : "";
        return `${chunk({}, finishReason())}${last}data: [DONE]\n\n`;
      }
      const message = { role: "assistant", content };
      const choices = [{ index: 0, message, logprobs: null, finish_reason: finishReason() }];
      return JSON.stringify({ ...head, object: "chat.completion", choices, usage: fullUsage() });
    },
  };
}

// ---- Bytes: the first of a stream at once, the others of all streams of a socket in one frame.

function write(job, text) {
  if (text === "") return;
  job.pending = Buffer.concat([job.pending, Buffer.from(text)]);
  if (job.hasSent) flushSoon(job.socket);
  else flush(job.socket);
}

function flushSoon(socket) {
  socket.flushTimer ??= setTimeout(() => flush(socket), socket.flushMs);
}

function flush(socket) {
  clearTimeout(socket.flushTimer);
  socket.flushTimer = null;
  const ready = jobsOf(socket).filter(({ isPaused, pending }) => !isPaused && pending.length > 0);
  if (ready.length === 0) return;
  if (socket.ws.bufferedAmount < MIB) socket.ws.send(Buffer.concat(ready.map(takeRecord)));
  flushSoon(socket); // for what did not fit
}

/** `[u32 stream][u32 length][bytes]` of at most 128 KiB. */
function takeRecord(job) {
  const bytes = job.pending.subarray(0, 128 * 1024);
  job.pending = job.pending.subarray(bytes.length);
  job.hasSent = true;
  const head = Buffer.alloc(8);
  head.writeUInt32BE(job.stream, 0);
  head.writeUInt32BE(bytes.length, 4);
  return Buffer.concat([head, bytes]);
}

// ---- Start and stop.

/** Takes nothing more, finishes what runs, and says goodbye. */
async function stop() {
  if (isStopping) return;
  isStopping = true;
  task.abort();
  loading?.abort.abort();
  tellAll();
  for (const { timer } of redials.values()) clearTimeout(timer);
  for (const job of jobs) if (job.phase === "waiting") end(job, "capacity", "stopping");
  while (jobs.size > 0) await sleep(20);
  for (const socket of sockets) {
    if (socket.registeredAt === null) socket.ws.terminate();
    else close(socket);
  }
}

for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => void stop()); // a second one ends it at once
if (state.assignment !== null) obey(0);
reconcile();
