import { WebSocket } from "ws";

import type { MachineId } from "../../protocol/ids.ts";
import { MAX_REQUEST_BODY_BYTES } from "../../protocol/limits.ts";
import { SUBPROTOCOL } from "../../protocol/version.ts";
import type { Dial, Socket, SocketEnd, SocketListener } from "./agent/ports.ts";
import { networkReason } from "./reason.ts";

/** The agent's sockets, made of the `ws` package. Node's own WebSocket hides why an upgrade was refused. */

const HANDSHAKE_TIMEOUT_MS = 15_000;
/** Room for the fields around a request's body. */
const MAX_FRAME_BYTES = MAX_REQUEST_BODY_BYTES + 64 * 1024;
const MAX_REFUSAL_BODY_BYTES = 8192;

export interface ConnectionOptions {
  /** Base URL of the coordinator, http or https. */
  readonly coordinator: URL;
  readonly token: string;
  readonly machineId: MachineId;
  readonly userAgent: string;
}

/** An address of the coordinator, which may itself have a path. */
export function coordinatorUrl(coordinator: URL, path: string): URL {
  const url = new URL(coordinator);
  url.pathname = `${url.pathname.replace(/\/+$/, "")}${path}`;
  url.search = "";
  return url;
}

/** An address of the coordinator about one machine. */
export function providerUrl(
  coordinator: URL,
  name: "connect" | "explain" | "usage",
  machineId: MachineId,
): URL {
  const url = coordinatorUrl(coordinator, `/v1/providers/${name}`);
  url.searchParams.set("machine", machineId);
  return url;
}

/** The address of the upgrade for one pool. */
export function connectUrl(coordinator: URL, machineId: MachineId, pool: string): URL {
  const url = providerUrl(coordinator, "connect", machineId);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  url.searchParams.set("pool", pool);
  return url;
}

export function createDial(options: ConnectionOptions): Dial {
  return (pool, listener) => {
    const ws = new WebSocket(connectUrl(options.coordinator, options.machineId, pool), [SUBPROTOCOL], {
      headers: { Authorization: `Bearer ${options.token}`, "User-Agent": options.userAgent },
      perMessageDeflate: false,
      handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
      maxPayload: MAX_FRAME_BYTES,
      followRedirects: false,
    });
    listen(ws, listener);
    return asSocket(ws);
  };
}

function asSocket(ws: WebSocket): Socket {
  const isOpen = (): boolean => ws.readyState === WebSocket.OPEN;
  return {
    sendText: (text) => {
      if (isOpen()) ws.send(text);
    },
    sendBytes: (bytes) => {
      if (isOpen()) ws.send(bytes, { binary: true });
    },
    bufferedBytes: () => ws.bufferedAmount,
    close: (code, reason) => ws.close(code, reason),
    terminate: () => ws.terminate(),
  };
}

function listen(ws: WebSocket, listener: SocketListener): void {
  let hasEnded = false;
  let failure = "";
  const end = (how: SocketEnd): void => {
    if (hasEnded) return;
    hasEnded = true;
    listener.onEnd(how);
  };
  ws.on("open", () => listener.onOpen());
  ws.on("message", (data, isBinary) => {
    // The coordinator sends text only. What is not text cannot concern us.
    if (!isBinary && data instanceof Buffer) listener.onText(data.toString("utf8"));
  });
  ws.on("unexpected-response", (_request, response) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    const refuse = (): void => {
      end(refusal(response.statusCode ?? 0, response.headers, Buffer.concat(chunks).toString("utf8")));
      ws.terminate();
    };
    response.on("data", (chunk: Buffer) => {
      bytes += chunk.byteLength;
      if (bytes <= MAX_REFUSAL_BODY_BYTES) chunks.push(chunk);
      else refuse();
    });
    response.on("end", refuse);
    response.on("error", refuse);
  });
  ws.on("error", (error) => {
    failure = networkReason(error);
  });
  ws.on("close", (code, reason) => {
    end({ kind: "closed", code, reason: reason.length > 0 ? reason.toString("utf8") : failure });
  });
}

interface RefusalHeaders {
  readonly "retry-after"?: string | undefined;
  readonly location?: string | undefined;
}

function refusal(status: number, headers: RefusalHeaders, body: string): SocketEnd {
  const { code, message } = readError(body);
  const { location } = headers;
  return {
    kind: "refused",
    status,
    code,
    message: redirection(status, location) ?? message,
    retryAfterMs: retryAfterMs(headers["retry-after"]),
  };
}

/** What an answer says that redirects, which is not followed: the token is for this address. Null if it does not. */
export function redirection(status: number, location: string | undefined): string | null {
  const isRedirect = status >= 300 && status < 400 && location !== undefined;
  return isRedirect ? `the coordinator's address redirects to ${location}: use that one` : null;
}

/** Takes `error.code` and `error.message` out of an answer that may as well be a proxy's HTML page. */
function readError(body: string): { code: string | null; message: string } {
  try {
    const json: unknown = JSON.parse(body);
    if (typeof json === "object" && json !== null && "error" in json) {
      const { error } = json;
      if (typeof error === "object" && error !== null) {
        const code = "code" in error && typeof error.code === "string" ? error.code : null;
        const message = "message" in error && typeof error.message === "string" ? error.message : "";
        return { code, message: message.slice(0, 300) };
      }
    }
  } catch {
    // Not JSON: the status alone has to do.
  }
  return { code: null, message: "" };
}

/** The header's seconds; its other form, a date, is read as no answer: clocks of Macs differ. */
export function retryAfterMs(header: string | undefined): number | null {
  const seconds = Number(header);
  return header === undefined || !Number.isFinite(seconds) || seconds < 0 ? null : seconds * 1000;
}
