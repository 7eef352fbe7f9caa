import { otherwiseSchema, type OwnerRoute } from "../core/pool/owner-route.ts";
import { isPriority } from "../core/pool/priority.ts";
import type { RequestSpec } from "../core/pool/request.ts";
import type { Reservation } from "../core/rate-limit.ts";
import { isModelId } from "../protocol/ids.ts";

/**
 * How the Worker calls a pool over `fetch`: the client's JSON as the body, untouched, and what the Worker knows
 * of it in one header, so that the pool parses nothing twice. Only the Worker can reach a pool.
 *
 * A deploy does not reach all places at once, so for seconds a pool hears from an earlier Worker, or a later one. Hence
 * fields keep their places, new ones come last, and a pool does without those that are not there.
 */

const CALL_HEADER = "x-pool-call";

export interface EdgeCall extends RequestSpec {
  /** Echoed as `x-request-id`: the client's own id if it sent a sane one. */
  readonly echoedId: string;
}

/** A call as a pool reads it. */
export interface ReceivedCall extends EdgeCall {
  /** Of the body that follows; 0 if it is not known. */
  readonly bodyChars: number;
}

/** A request for the pool, as `fetch` takes it. Every field is free of spaces, so a space separates them. */
export function encodeEdgeCall(call: EdgeCall, body: string): RequestInit {
  const fields = [
    call.requestId,
    call.echoedId,
    call.endpoint,
    call.model,
    encodeOwnerRoute(call.owner),
    call.stream ? "1" : "0",
    call.keyId,
    call.slotsPerMachine,
    call.arrivedAt,
    call.deadlineAt,
    encodeReservation(call.reservation),
    call.priority,
    call.contextLength,
    encodePrefix(call.prefix),
    call.answerTokens ?? NONE,
    call.cacheKeys[0] ?? NONE,
    body.length,
    call.cacheKeys[1] ?? NONE,
  ];
  return { method: "POST", headers: { [CALL_HEADER]: fields.join(" ") }, body };
}

/** Null for what is none. Read by hand: schemas took most of the time. */
export function decodeEdgeCall(request: Request): ReceivedCall | null {
  const fields = request.headers.get(CALL_HEADER)?.split(" ");
  const [
    requestId,
    echoedId,
    endpoint,
    model = "",
    owner,
    stream,
    keyId,
    slots,
    arrivedAt,
    deadlineAt,
    reservation,
    priority = "",
    contextLength,
    prefix,
    answerTokens = NONE,
    cacheKey = NONE,
    bodyChars = 0,
    secondCacheKey = NONE,
  ] = fields ?? [];
  if (requestId === undefined || echoedId === undefined) return null;
  if (endpoint === undefined || owner === undefined || keyId === undefined) return null;
  if (!isModelId(model) || !isPriority(priority)) return null;
  return {
    requestId,
    echoedId,
    endpoint,
    model,
    owner: decodeOwnerRoute(owner),
    stream: stream === "1",
    keyId,
    slotsPerMachine: Number(slots),
    arrivedAt: Number(arrivedAt),
    deadlineAt: Number(deadlineAt),
    reservation: decodeReservation(reservation),
    priority,
    contextLength: Number(contextLength),
    prefix: decodePrefix(prefix),
    answerTokens: decodeNumber(answerTokens),
    cacheKeys: [cacheKey, secondCacheKey].filter((key) => key !== NONE).map(Number),
    bodyChars: Number(bodyChars),
  };
}

const NONE = "-";

function decodeNumber(text: string): number | null {
  return text === NONE ? null : Number(text);
}

/** In base 36, which is short and holds no comma. */
function encodePrefix(prefix: readonly number[]): string {
  return prefix.length === 0 ? NONE : prefix.map((hash) => hash.toString(36)).join(",");
}

function decodePrefix(text: string = NONE): number[] {
  return text === NONE ? [] : text.split(",").map((hash) => Number.parseInt(hash, 36));
}

function encodeOwnerRoute(route: OwnerRoute | null): string {
  if (route === null) return NONE;
  return [route.otherwise, route.isSwitching ? "1" : "0", ...route.machines].join(",");
}

function decodeOwnerRoute(text: string): OwnerRoute | null {
  if (text === NONE) return null;
  const [otherwise, isSwitching, ...machines] = text.split(",");
  return {
    otherwise: otherwiseSchema.parse(otherwise),
    isSwitching: isSwitching === "1",
    machines: new Set(machines),
  };
}

function encodeReservation(reservation: Reservation | null): string {
  if (reservation === null) return NONE;
  const { at, tokens, window, number } = reservation;
  return [at, tokens, window, number].join(",");
}

function decodeReservation(text: string = NONE): Reservation | null {
  if (text === NONE) return null;
  const [at, tokens, window = "", number] = text.split(",");
  return { at: Number(at), tokens: Number(tokens), window, number: Number(number) };
}
