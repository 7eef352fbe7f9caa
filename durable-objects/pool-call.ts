/**
 * How the Worker calls a pool over `fetch`: the client's JSON as the body, untouched, and what the Worker knows
 * of it in one header, so that the pool parses nothing twice. Only the Worker can reach a pool.
 */

const CALL_HEADER = "x-pool-call";

export interface PoolCall {
  readonly requestId: string;
  /** Echoed as `x-request-id`: the client's own id if it sent a sane one. */
  readonly echoedId: string;
  readonly endpoint: string;
  readonly stream: boolean;
  readonly keyId: string;
  readonly slotsPerMachine: number;
  /** Milliseconds since the epoch. */
  readonly arrivedAt: number;
  readonly deadlineAt: number;
}

/** A request for the pool. Every field is free of spaces, so a space separates them. */
export function encodePoolCall(call: PoolCall, body: string): Request {
  const fields = [
    call.requestId,
    call.echoedId,
    call.endpoint,
    call.stream ? "1" : "0",
    call.keyId,
    call.slotsPerMachine,
    call.arrivedAt,
    call.deadlineAt,
  ];
  return new Request("http://pool/", { method: "POST", headers: { [CALL_HEADER]: fields.join(" ") }, body });
}

export function decodePoolCall(request: Request): PoolCall | null {
  const fields = request.headers.get(CALL_HEADER)?.split(" ");
  const [requestId, echoedId, endpoint, stream, keyId, slots, arrivedAt, deadlineAt] = fields ?? [];
  if (requestId === undefined || echoedId === undefined) return null;
  if (endpoint === undefined || keyId === undefined) return null;
  return {
    requestId,
    echoedId,
    endpoint,
    stream: stream === "1",
    keyId,
    slotsPerMachine: Number(slots),
    arrivedAt: Number(arrivedAt),
    deadlineAt: Number(deadlineAt),
  };
}
