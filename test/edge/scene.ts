import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env, exports } from "cloudflare:workers";
import { afterEach, vi } from "vitest";

import { RECONNECT_GRACE_MS } from "../../core/limits.ts";
import type { Env } from "../../durable-objects/env.ts";
import type { Fleet } from "../../durable-objects/fleet.ts";
import type { ModelPool } from "../../durable-objects/model-pool.ts";

/** The Worker and its objects as a test reaches them: over the network, and from inside where that is the only way. */

export const testEnv = env as unknown as Env;
export const ADMIN = "admin-token-of-the-tests";

const worker = exports as unknown as { default: { fetch(request: Request): Promise<Response> } };

/** A request to the Worker as it would come over the network. */
export function edge(request: Request): Promise<Response> {
  return worker.default.fetch(request);
}

export function fetchEdge(path: string, init: RequestInit = {}): Promise<Response> {
  return edge(new Request(`http://edge${path}`, init));
}

/** A call of the admin API, whatever comes of it. */
export function callAdmin(method: string, path: string, body?: unknown): Promise<Response> {
  return callWith(ADMIN, method, `/v1/admin${path}`, body);
}

/** A call of the admin API that must succeed. */
export async function adminCall<T>(method: string, path: string, body?: unknown): Promise<T> {
  const response = await callAdmin(method, path, body);
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
  return response.json<T>();
}

/** Sets a flag. It stays as it is when the test is over. */
export function setFlag(name: string, value: string): Promise<{ value: string }> {
  return adminCall("PUT", `/flags/${name}`, { value });
}

/** Orders a machine to hold the model of a pool. */
export function pin(machineId: string, to: Scene): Promise<{ epoch: number }> {
  return adminCall("POST", `/machines/${machineId}/pin`, { model_id: to.model });
}

interface ErrorBody {
  readonly error: { message: string; type: string; code: string; param: string | null };
}

/** A refusal's status and what its envelope says. */
export async function errorOf(response: Response): Promise<ErrorBody["error"] & { status: number }> {
  const { error } = await response.json<ErrorBody>();
  return { status: response.status, ...error };
}

export function catalogEntry(id: string, fields: object = {}): object {
  return { id, context_length: 4096, size_gb: 1, min_ram_gb: 2, ...fields };
}

/** Puts entries into the catalog, beside those that are there. */
export async function addToCatalog(...added: object[]): Promise<void> {
  const entries = await adminCall<object[]>("GET", "/catalog");
  await adminCall("PUT", "/catalog", [...entries, ...added]);
}

let count = 0;

/** A name nobody else in this file has used, since storage lasts from test to test. */
export function unique(prefix: string): string {
  return `${prefix}-${++count}-${crypto.randomUUID().slice(0, 6)}`;
}

export interface Scene {
  readonly model: string;
  readonly apiKey: string;
  readonly keyId: string;
  readonly token: string;
  readonly tokenId: string;
}

/** Models of the present test, and of those before it whose pools may still be awake. */
const made: string[] = [];
const past: string[] = [];

/** A fresh model in the catalog, an API key and a provider token. */
export async function scene(fields: object = {}): Promise<Scene> {
  const model = unique("model");
  made.push(model);
  await addToCatalog(catalogEntry(model, fields));
  const { key, id: keyId } = await newKey("acme");
  const { token, id: tokenId } = await newToken("acme");
  return { model, apiKey: key, keyId, token, tokenId };
}

export function newKey(owner: string): Promise<{ key: string; id: string }> {
  return adminCall("POST", "/keys", { owner, name: "test" });
}

export function newToken(owner: string): Promise<{ token: string; id: string }> {
  return adminCall("POST", "/provider-tokens", { owner, name: "test" });
}

export interface NamedAdmin {
  readonly id: string;
  readonly token: string;
}

/** A named admin token. */
export function newAdmin(scope: "read" | "admin", name = unique(scope)): Promise<NamedAdmin> {
  return adminCall("POST", "/admin-tokens", { name, scope });
}

/** A call of the Worker with a secret, whatever comes of it. */
export function callWith(secret: string, method: string, path: string, body?: unknown): Promise<Response> {
  return fetchEdge(path, {
    method,
    headers: { authorization: `Bearer ${secret}` },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
}

/** A row of the log of changes. */
export interface Change {
  readonly id: number;
  readonly at: number;
  readonly request_id: string | null;
  readonly what: string;
  readonly outcome: string;
  readonly code: string | null;
}

export interface ChangePage {
  readonly changes: readonly Change[];
  readonly next_cursor: string | null;
}

/** The log of changes, the newest first. */
export function readChanges(query = ""): Promise<ChangePage> {
  return adminCall("GET", `/audit${query}`);
}

export async function newestChange(): Promise<Change | undefined> {
  return (await readChanges("?limit=1")).changes[0];
}

export function chatBody(at: Scene, fields: object = {}): string {
  return JSON.stringify({ model: at.model, messages: [{ role: "user", content: "Hello" }], ...fields });
}

export function chat(at: Scene, fields: object = {}, init: RequestInit = {}): Promise<Response> {
  return fetchEdge("/v1/chat/completions", {
    method: "POST",
    headers: { authorization: `Bearer ${at.apiKey}` },
    body: chatBody(at, fields),
    ...init,
  });
}

export const poolOf = (at: Scene): DurableObjectStub<ModelPool> => testEnv.MODEL_POOL.getByName(at.model);
export const fleet = (): DurableObjectStub<Fleet> => testEnv.FLEET.getByName("fleet");

/** Rows of an object's SQLite. */
export function rowsOf(
  stub: DurableObjectStub<Fleet> | DurableObjectStub<ModelPool>,
  query: string,
  ...bindings: unknown[]
): Promise<Record<string, SqlStorageValue>[]> {
  return runInDurableObject<DurableObject, Record<string, SqlStorageValue>[]>(stub, (_, state) =>
    state.storage.sql.exec(query, ...bindings).toArray(),
  );
}

/** Takes the fleet's tables away for a while, so that each of its calls throws. */
export async function withBrokenFleet(run: () => Promise<void>): Promise<void> {
  await rowsOf(fleet(), "ALTER TABLE revoked_tokens RENAME TO hidden");
  try {
    await run();
  } finally {
    await rowsOf(fleet(), "ALTER TABLE hidden RENAME TO revoked_tokens");
  }
}

/** Resets an object as a deploy or a crash does: its memory and its sockets are gone, and so are its open calls. */
export async function resetObject(
  stub: DurableObjectStub<Fleet> | DurableObjectStub<ModelPool>,
): Promise<void> {
  const aborted = runInDurableObject<DurableObject, void>(stub, (_, state) =>
    state.abort("reset by the test"),
  );
  await aborted.catch(() => undefined);
}

/** Resets the object in the middle of one of its calls. */
export function breakDown(state: DurableObjectState): never {
  state.abort("reset by the test");
  throw new Error("an object that was reset runs on");
}

/** The fleet's next tick at once, after a sleep: its alarm alone might only repeat what is unanswered. */
export async function tickFleet(): Promise<void> {
  await rowsOf(fleet(), "INSERT OR REPLACE INTO schedule (id, last_at, quiet_ticks) VALUES (1, 0, 0)");
  await evictDurableObject(fleet());
  await runDurableObjectAlarm(fleet());
}

/** Whether KV shows this value after one more tick of a fleet that sleeps between two of them, and forgets. */
export async function isShownAfterTick(key: string, value: string | null): Promise<boolean> {
  await tickFleet();
  return (await testEnv.FLAGS.get(key)) === value;
}

/** Waits for something to become true; the test's own time limit bounds it. */
export async function until(isTrue: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await isTrue())) await waitReally(2);
}

/** Waits until the pool has noticed that its last machine has gone. */
export function untilEmpty(at: Scene): Promise<void> {
  return until(async () => (await poolOf(at).report(4)).machines.length === 0);
}

/** Waits until so many requests wait in the pool's line. */
export function untilQueued(at: Scene, requests: number): Promise<void> {
  return until(async () => (await poolOf(at).report(4)).queued === requests);
}

const waitReally = scheduler.wait.bind(scheduler);
/** Undone at the end of the test; null unless the platform's own waits stand still, too. */
let heldWaits: { mockRestore(): void } | null = null;

/**
 * Until the end of the test, time passes only when the test says so.
 * @param waits also for those who wait by the scheduler, such as the Worker before it tells pools what it has refused.
 */
export async function stopClock({ fleetTicks = false, waits = false } = {}): Promise<void> {
  isFleetStill = !fleetTicks;
  await stillFleet();
  // A real timer of another pool would set a stopped one, which then fires inside the object under test.
  for (const model of past.splice(0)) await resetObject(testEnv.MODEL_POOL.getByName(model));
  vi.useFakeTimers({ toFake: ["Date", "setTimeout", "clearTimeout"] });
  if (waits) heldWaits = vi.spyOn(scheduler, "wait").mockImplementation(waitByClock);
}

/** Each caller looks at the clock by itself, since none may be woken from the event of another. */
async function waitByClock(ms: number, { signal }: { signal?: AbortSignal } = {}): Promise<void> {
  const at = Date.now() + ms;
  const isOver = (): boolean => Date.now() >= at || signal?.aborted === true;
  while (!isOver()) await waitReally(2);
}

let isFleetStill = false;

/** The platform's clock goes on, and a tick would make other pools set timers that then fire inside the object under test. */
async function stillFleet(): Promise<void> {
  if (isFleetStill) await runInDurableObject(fleet(), (_, { storage }) => storage.deleteAlarm());
}

/** Lets time pass while the clock stands. Timers fire inside the object, where its own would. */
export async function advanceClock(
  stub: DurableObjectStub<Fleet> | DurableObjectStub<ModelPool>,
  ms: number,
): Promise<void> {
  await stillFleet();
  return runInDurableObject<DurableObject, void>(stub, () => {
    vi.advanceTimersByTime(ms);
  });
}

/** The clock stands: lets the time pass in which machines that the pool has lost may come back to so many who wait for them. */
export async function endGrace(at: Scene, waiting: number): Promise<void> {
  await untilQueued(at, waiting);
  await advanceClock(poolOf(at), RECONNECT_GRACE_MS);
}

afterEach(() => {
  past.push(...made.splice(0));
  vi.useRealTimers();
  heldWaits?.mockRestore();
  heldWaits = null;
});

/** The next piece of a stream. */
export async function readText(reader: ReadableStreamDefaultReader<Uint8Array> | undefined): Promise<string> {
  const { value } = (await reader?.read()) ?? {};
  return new TextDecoder().decode(value);
}
