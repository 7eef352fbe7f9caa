import type { Downstream } from "../../../protocol/downstream.ts";
import { epochSchema, machineIdSchema, MAX_EPOCH, modelIdSchema } from "../../../protocol/ids.ts";
import type { Upstream } from "../../../protocol/upstream.ts";

/** One message of every type with every field in use, so that nothing is lost on the wire unnoticed. */

const model = modelIdSchema.parse("org/gpt-oss-20b@v1.2:q4");
const machine_id = machineIdSchema.parse("studio-7f3a");
const epoch = epochSchema.parse(MAX_EPOCH);
const assignment = { model_id: model, epoch };
const attempt = { request_id: "req_0.a:b-c", stream: 0xffff_ffff };

type Samples<Message extends { type: string }> = {
  readonly [Type in Message["type"]]: Extract<Message, { type: Type }>;
};

const said = {
  protocol: 1,
  version: "0.6.18-beta.1",
  machine_id,
  session_id: "session",
  backend: "node-llama-cpp",
  public_key: "MFkw",
  hardware: {
    machine_model: "Mac15,14",
    chip_name: "Apple M3 Ultra",
    chip_family: "M3",
    chip_tier: "Ultra",
    memory_gb: 96.5,
    gpu_cores: 60,
    memory_bandwidth_gbs: 819.2,
  },
  models: [
    {
      id: model,
      size_bytes: 12_100_000_000,
      quantization: "mxfp4",
      weight_hash: "ab12",
      decode_tps: 57.1,
      prefill_tps: 610,
    },
  ],
  loaded_models: [model],
  max_concurrency: 4,
  assignment,
  private_only: true,
};

export const UPSTREAM: Samples<Upstream> = {
  register: { type: "register", ...said },
  offer: { type: "offer", ...said },
  heartbeat: {
    type: "heartbeat",
    loaded_models: [model],
    running: 1,
    waiting: 2,
    max_concurrency: 4,
    memory_free_gb: 31.5,
    memory_pressure: 0.2,
    thermal_state: "serious",
    accepting: false,
    reserved: true,
    assignment,
  },
  assign_model_status: {
    type: "assign_model_status",
    ...assignment,
    status: "failed",
    progress: 0.42,
    error: { code: "insufficient_memory", message: "too large" },
  },
  inference_accepted: { type: "inference_accepted", ...attempt },
  inference_complete: {
    type: "inference_complete",
    ...attempt,
    usage: { prompt_tokens: 311, completion_tokens: 96, cached_tokens: 256 },
    finish_reason: "stop",
    timings: { queue_ms: 0, prefill_ms: 480.5, decode_ms: 1710 },
  },
  inference_error: {
    type: "inference_error",
    ...attempt,
    class: "capacity",
    code: "no_free_slot",
    message: "é 🚲 \u0000",
  },
  attestation_response: {
    type: "attestation_response",
    nonce: "n",
    signature: "s",
    status: "{}",
    certificate_chain: ["a", "b"],
  },
};

export const DOWNSTREAM: Samples<Downstream> = {
  registered: {
    type: "registered",
    machine_id,
    pool: model,
    pools: [model],
    assignment: { model_id: null, epoch, drain_ms: 30_000, load_ms: 180_000 },
    heartbeat_ms: 60_000,
    flush_ms: 40,
  },
  assign_model: {
    type: "assign_model",
    ...assignment,
    pools: [model],
    reason: "pinned",
    drain_ms: 30_000,
    load_ms: 180_000,
  },
  inference_request: {
    type: "inference_request",
    ...attempt,
    endpoint: "/v1/chat/completions",
    model_id: model,
    body: { model: "alias", messages: [{ role: "user", content: "é" }], odd: { deep: [null] } },
    deadline_ms: 120_000,
    owner_bypass: false,
    flush_ms: 40,
  },
  cancel: { type: "cancel", ...attempt },
  pause: { type: "pause", stream: 17 },
  resume: { type: "resume", stream: 17 },
  attestation_challenge: { type: "attestation_challenge", nonce: "n", issued_at: 1_760_000_000_000 },
};
