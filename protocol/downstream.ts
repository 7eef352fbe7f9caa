import { z } from "zod";

import { epochSchema, machineIdSchema, modelIdSchema, requestIdSchema, streamIdSchema } from "./ids.ts";

/** Messages from the coordinator to a provider, each about one machine or one request. */

const durationMs = z.int().min(0).max(86_400_000);
const poolList = z.array(modelIdSchema).max(1024);

/** Answer to an accepted `register`. The provider makes its sockets match `pools` and obeys `assignment` (H8, H10). */
export const registeredSchema = z.object({
  type: z.literal("registered"),
  machine_id: machineIdSchema,
  pool: modelIdSchema,
  pools: poolList,
  assignment: z.object({
    model_id: modelIdSchema.nullable(),
    epoch: epochSchema,
    drain_ms: durationMs,
    load_ms: durationMs,
  }),
  heartbeat_ms: durationMs,
  flush_ms: durationMs,
  /** The pool takes `offer`. */
  takes_offers: z.boolean().optional(),
});

/** Hold exactly this model from now on; null releases the machine. Ordered by `epoch` (H9). */
export const assignModelSchema = z.object({
  type: z.literal("assign_model"),
  model_id: modelIdSchema.nullable(),
  epoch: epochSchema,
  pools: poolList,
  reason: z.string().max(512),
  drain_ms: durationMs,
  load_ms: durationMs,
});

/** Run one request. `body` is the client's own JSON; `model_id` is the catalog id, `body.model` may be an alias. */
export const inferenceRequestSchema = z.object({
  type: z.literal("inference_request"),
  request_id: requestIdSchema,
  stream: streamIdSchema,
  endpoint: z.string().max(64),
  model_id: modelIdSchema,
  body: z.record(z.string(), z.unknown()),
  deadline_ms: durationMs,
  owner_bypass: z.boolean(),
  /** New flush interval of this socket: how long to collect bytes for one frame. Unchanged if absent. */
  flush_ms: durationMs.optional(),
});

/** Stop generating within one token; answered by `inference_complete` or an `inference_error` of class cancelled. */
export const cancelSchema = z.object({
  type: z.literal("cancel"),
  request_id: requestIdSchema,
  stream: streamIdSchema,
});

/** The client reads too slowly: send no bytes of this stream until `resume`. */
export const pauseSchema = z.object({ type: z.literal("pause"), stream: streamIdSchema });
export const resumeSchema = z.object({ type: z.literal("resume"), stream: streamIdSchema });

/** Prove possession of the machine's key now. */
export const attestationChallengeSchema = z.object({
  type: z.literal("attestation_challenge"),
  nonce: z.string().min(1).max(256),
  /** When it was sent, ms since the epoch. */
  issued_at: z.int().min(0),
});

export const downstreamSchema = z.discriminatedUnion("type", [
  registeredSchema,
  assignModelSchema,
  inferenceRequestSchema,
  cancelSchema,
  pauseSchema,
  resumeSchema,
  attestationChallengeSchema,
]);

export type Downstream = z.infer<typeof downstreamSchema>;
export type AttestationChallenge = z.infer<typeof attestationChallengeSchema>;
export type Registered = z.infer<typeof registeredSchema>;
export type AssignModel = z.infer<typeof assignModelSchema>;
export type InferenceRequest = z.infer<typeof inferenceRequestSchema>;
