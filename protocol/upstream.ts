import { z } from "zod";

import { epochSchema, machineIdSchema, modelIdSchema, requestIdSchema, streamIdSchema } from "./ids.ts";
import { MAX_COUNT, MAX_DURATION_MS, MAX_MODELS_PER_MACHINE } from "./limits.ts";

/**
 * Messages from a provider to the coordinator: facts about a machine and about the requests it runs.
 * Unknown fields are dropped while parsing; unknown types are counted and ignored by the receiver.
 */

const shortText = z.string().max(256);
const count = z.int().min(0).max(MAX_COUNT);
const durationMs = z.number().min(0).max(MAX_DURATION_MS);
const speedTps = z.number().positive().max(1e9);
/** Of a prompt and its answer together. */
const contextTokens = z.int().min(1).max(MAX_COUNT);
const modelList = z.array(modelIdSchema).max(MAX_MODELS_PER_MACHINE);

/** The assignment that a provider has; sent in `register` and in each heartbeat. */
const heldAssignmentSchema = z.object({ model_id: modelIdSchema.nullable(), epoch: epochSchema });

/** A model on this machine's disk. Speeds are tokens per second, measured by the provider. */
export const advertisedModelSchema = z.object({
  id: modelIdSchema,
  size_bytes: z.int().min(0),
  quantization: shortText.optional(),
  weight_hash: shortText.optional(),
  decode_tps: speedTps.optional(),
  prefill_tps: speedTps.optional(),
  /** What one request may take up here, in tokens. Whoever does not say takes what the catalog says. */
  context_length: contextTokens.optional(),
});

export const hardwareSchema = z.object({
  machine_model: shortText,
  chip_name: shortText,
  chip_family: shortText,
  chip_tier: shortText,
  memory_gb: z.number().positive().max(100_000),
  gpu_cores: count,
  memory_bandwidth_gbs: z.number().min(0).max(1_000_000),
});

/** First frame on every socket. The machine is routable once `registered` has been sent (unless its record forbids). */
export const registerSchema = z.object({
  type: z.literal("register"),
  protocol: z.int().min(1),
  version: shortText.optional(),
  machine_id: machineIdSchema,
  session_id: z.string().min(1).max(128),
  backend: shortText,
  public_key: z.string().min(1).max(1024),
  hardware: hardwareSchema,
  models: z.array(advertisedModelSchema).max(MAX_MODELS_PER_MACHINE),
  loaded_models: modelList,
  max_concurrency: z.int().min(1).max(1024),
  assignment: heldAssignmentSchema.nullable(),
  private_only: z.boolean().optional(),
  /** The provider answers `attestation_challenge`. Others are asked only if the fleet demands a trust level. */
  attests: z.boolean().optional(),
});

/**
 * All that `register` would say now, on a socket that stays: the machine offers something else than it did. Only for a pool that
 * has said that it takes offers.
 */
export const offerSchema = registerSchema.extend({ type: z.literal("offer") });

/** Sent on change of any field worth routing on, else every 60 s. `accepting: false` announces a graceful stop. */
export const heartbeatSchema = z.object({
  type: z.literal("heartbeat"),
  loaded_models: modelList,
  running: count,
  waiting: count,
  max_concurrency: z.int().min(1).max(1024),
  memory_free_gb: z.number().min(0).max(100_000),
  memory_pressure: z.number().min(0).max(1),
  thermal_state: z.enum(["nominal", "fair", "serious", "critical"]),
  accepting: z.boolean(),
  /** Its owner has reserved it for now: it serves nobody else, and goes on with what runs. */
  reserved: z.boolean().optional(),
  assignment: heldAssignmentSchema.nullable(),
  /** Of the one model in `loaded_models`: a load may show what the register could not say. */
  context_length: contextTokens.optional(),
});

export const assignmentErrorCodeSchema = z.enum([
  "model_not_on_disk",
  "insufficient_memory",
  "load_failed",
  "warmup_failed",
  "below_quality_floor",
  "epoch_conflict",
  "refused_by_operator",
]);

/** Progress of an `assign_model`; sent only to the pool of the assigned model. */
export const assignModelStatusSchema = z.object({
  type: z.literal("assign_model_status"),
  model_id: modelIdSchema,
  epoch: epochSchema,
  status: z.enum(["draining", "loading", "succeeded", "failed"]),
  progress: z.number().min(0).max(1).optional(),
  error: z.object({ code: assignmentErrorCodeSchema, message: z.string().max(2000) }).optional(),
});

/** The request was admitted by the machine; refusals come before this (D3). */
export const inferenceAcceptedSchema = z.object({
  type: z.literal("inference_accepted"),
  request_id: requestIdSchema,
  stream: streamIdSchema,
});

export const inferenceCompleteSchema = z.object({
  type: z.literal("inference_complete"),
  request_id: requestIdSchema,
  stream: streamIdSchema,
  usage: z.object({ prompt_tokens: count, completion_tokens: count, cached_tokens: count.optional() }),
  finish_reason: shortText,
  timings: z.object({ queue_ms: durationMs, prefill_ms: durationMs, decode_ms: durationMs }),
});

export const errorClassSchema = z.enum(["capacity", "client", "fault", "cancelled"]);
export type ErrorClass = z.infer<typeof errorClassSchema>;

/** Codes of class `capacity`; other classes may use any code. */
export const CAPACITY_CODES = [
  "not_assigned_model",
  "switching_model",
  "no_free_slot",
  "insufficient_memory",
  "stopping",
] as const;

export const inferenceErrorSchema = z.object({
  type: z.literal("inference_error"),
  request_id: requestIdSchema,
  stream: streamIdSchema,
  class: errorClassSchema,
  code: z.string().min(1).max(128),
  message: z.string().max(8000),
});

/** Apple's Managed Device Attestation for a key: DER in base64, the device's certificate first, without the root. */
export const certificateChainSchema = z.array(z.string().max(8192)).max(8);

/** Proof that the machine holds its key. */
export const attestationResponseSchema = z.object({
  type: z.literal("attestation_response"),
  /** Of the challenge. */
  nonce: z.string().min(1).max(256),
  /** ECDSA with SHA-256 over `attestedText`: 64 bytes, r and s, in base64. */
  signature: z.string().min(1).max(1024),
  /** JSON: an object with the machine's `machine_id` and `session_id`, and any other fields. */
  status: z.string().max(16_384),
  certificate_chain: certificateChainSchema.optional(),
});

export const upstreamSchema = z.discriminatedUnion("type", [
  registerSchema,
  offerSchema,
  heartbeatSchema,
  assignModelStatusSchema,
  inferenceAcceptedSchema,
  inferenceCompleteSchema,
  inferenceErrorSchema,
  attestationResponseSchema,
]);

export type Upstream = z.infer<typeof upstreamSchema>;
export type Register = z.infer<typeof registerSchema>;
export type Offer = z.infer<typeof offerSchema>;
export type Heartbeat = z.infer<typeof heartbeatSchema>;
export type AttestationResponse = z.infer<typeof attestationResponseSchema>;
export type Hardware = z.infer<typeof hardwareSchema>;
export type InferenceComplete = z.infer<typeof inferenceCompleteSchema>;
export type InferenceError = z.infer<typeof inferenceErrorSchema>;
