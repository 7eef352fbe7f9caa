import type { EdgeCall } from "../../durable-objects/edge-call.ts";
import { modelIdSchema } from "../../protocol/ids.ts";

/** What the Worker tells a pool of a request. */
export const CALL: EdgeCall = {
  requestId: "req_1",
  echoedId: "trace-7",
  endpoint: "/v1/chat/completions",
  model: modelIdSchema.parse("org/model:q4"),
  owner: null,
  prefix: [],
  cacheKeys: [],
  stream: false,
  keyId: "k",
  reservation: null,
  priority: "normal",
  slotsPerMachine: 4,
  contextLength: 4096,
  answerTokens: null,
  arrivedAt: 1_795_478_400_000,
  deadlineAt: 1_795_479_000_000,
};
