import type { AgentHarness } from "../support/agent-harness.ts";

/** The pools of the sockets that are open, in the order they were dialed. */
export const openPools = (harness: AgentHarness): string[] => harness.open().map((socket) => socket.pool);

/** A list of pools, as it comes with an order that releases. */
export const assign = (pools: string[], epoch: number): object => ({
  type: "assign_model",
  model_id: null,
  epoch,
  pools,
  reason: "test",
  drain_ms: 30_000,
  load_ms: 180_000,
});
