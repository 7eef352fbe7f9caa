import { CLOSE } from "../../../protocol/close-codes.ts";
import type { SocketEnd } from "./ports.ts";

/**
 * What the log says of a socket's end, for the owner of the machine.
 * @param isReplaced another socket of this program has the pool, or is dialing it.
 */
export function describeSocketEnd(end: SocketEnd, wasConnected: boolean, isReplaced: boolean): string {
  if (end.kind === "refused") {
    return `the coordinator refused the connection${hintFor(end.status, end.code)}`;
  }
  if (!wasConnected && end.code === CLOSE.lost.code) {
    return "cannot reach the coordinator (check its address and the network)";
  }
  // Only a copy of the state directory has this machine's key.
  if (end.code === CLOSE.superseded.code && !isReplaced) {
    return "connection ended: another program serves under this machine's id and key (was the state directory copied to it?)";
  }
  return "connection ended";
}

/** Without an error code of ours, these suggest that the URL leads to some other server or a proxy. */
const WRONG_SERVER_STATUSES: readonly number[] = [400, 403, 404, 426];

/** What the owner of the machine can do about a refusal. */
function hintFor(status: number, code: string | null): string {
  if (status === 401) return " (check the provider token)";
  // A coordinator names what it did not find; another server sends no code of ours.
  if (code === null ? WRONG_SERVER_STATUSES.includes(status) : code === "not_found")
    return " (check its address)";
  if (code === "model_not_found") return " (the operator has to add the model to the catalog)";
  return "";
}
