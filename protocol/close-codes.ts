/**
 * WebSocket close codes and what a provider does on each. `reconnect` is the contract: a provider that obeys it
 * never hammers a coordinator that has said no, and never stays away from one that has only restarted.
 */

export type ReconnectRule =
  /** Dial again with jitter; the first dial after a restart comes within 2 s (H19). */
  | "soon"
  /** Dial again after 30 s: something is wrong that a quick retry would not mend. */
  | "later"
  /** Dial again after 5 to 30 s unless another socket of this process already serves the pool (H11). */
  | "unless_replaced"
  /** Dial only if no other registered socket is left (H7). */
  | "if_alone"
  /** Stop and tell the owner why. */
  | "stop";

interface CloseCode {
  readonly code: number;
  readonly reconnect: ReconnectRule;
  readonly meaning: string;
}

export const CLOSE = {
  normal: { code: 1000, reconnect: "soon", meaning: "normal closure" },
  goingAway: { code: 1001, reconnect: "soon", meaning: "the coordinator is going away" },
  lost: { code: 1006, reconnect: "soon", meaning: "the connection was lost" },
  restart: { code: 1012, reconnect: "soon", meaning: "the coordinator restarts or has newer knowledge" },
  badMessage: { code: 4000, reconnect: "later", meaning: "a message does not parse or is too large" },
  superseded: {
    code: 4001,
    reconnect: "unless_replaced",
    meaning: "a newer connection of the same machine to the same pool has registered",
  },
  released: { code: 4002, reconnect: "if_alone", meaning: "released from this pool" },
  notRegistered: { code: 4003, reconnect: "soon", meaning: "no register within 10 seconds" },
  silent: { code: 4004, reconnect: "soon", meaning: "no sign of life for 60 seconds" },
  notAllowed: { code: 4005, reconnect: "stop", meaning: "the token was revoked or the machine quarantined" },
  tooOld: { code: 4006, reconnect: "stop", meaning: "this provider version is too old to serve" },
  foreignKey: { code: 4007, reconnect: "stop", meaning: "this machine id is bound to another key" },
} as const satisfies Record<string, CloseCode>;

export type CloseReason = keyof typeof CLOSE;

/** What a provider does after a socket closed with `code`; codes nobody defined count as a lost connection. */
export function reconnectRule(code: number): ReconnectRule {
  for (const entry of Object.values(CLOSE)) if (entry.code === code) return entry.reconnect;
  return "soon";
}
