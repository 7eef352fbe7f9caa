import { CLOSE } from "../../../protocol/close-codes.ts";
import type { SocketEnd } from "./ports.ts";

/**
 * What the log says of a socket's end, for the owner of the machine.
 * @param isReplaced another socket of this program has the pool, or is dialing it.
 */
export function sentenceOn(end: SocketEnd, wasConnected: boolean, isReplaced: boolean): string {
  if (end.kind === "refused") {
    return `the coordinator refused the connection${hintFor(end.status, end.code)}`;
  }
  if (!wasConnected && end.code === CLOSE.lost.code) {
    return "cannot reach the coordinator (check its address and the network)";
  }
  // Nobody else has this machine's key but a copy of it.
  if (end.code === CLOSE.superseded.code && !isReplaced) {
    return "connection ended: another program serves under this machine's id and key (was the state directory copied to it?)";
  }
  return "connection ended";
}

/** By which another server, or a proxy on the way, shows that it is not the coordinator. */
const MISLED_STATUSES: readonly number[] = [400, 403, 404, 426];

/** What the owner of the machine can do about a refusal. */
function hintFor(status: number, code: string | null): string {
  if (status === 401) return " (check the provider token)";
  // A coordinator that has the route names what it did not find; another server knows no such code.
  if (code === null ? MISLED_STATUSES.includes(status) : code === "not_found") return " (check its address)";
  if (code === "model_not_found") return " (the operator has to add the model to the catalog)";
  return "";
}
