import { attestedText } from "../../../protocol/attestation.ts";
import type { AttestationChallenge } from "../../../protocol/downstream.ts";
import type { ModelId } from "../../../protocol/ids.ts";
import type { AttestationResponse, Heartbeat, Offer, Register } from "../../../protocol/upstream.ts";
import { PROTOCOL_VERSION } from "../../../protocol/version.ts";
import { reportOf, type HeldAssignment } from "./assignment.ts";
import type { AgentConfig } from "./config.ts";
import type { Attester, OfferedModel, Vitals } from "./ports.ts";
import type { MeasuredSpeed } from "./speeds.ts";

/** The messages in which this machine describes itself: `register`, heartbeats and proofs of its key. */

export interface MachineView {
  readonly backend: string;
  readonly offered: readonly OfferedModel[];
  readonly loaded: readonly ModelId[];
  readonly speedOf: (model: ModelId) => MeasuredSpeed;
  /** What one request may take up, in tokens; null if nobody knows. */
  readonly contextOf: (model: ModelId) => number | null;
  readonly held: HeldAssignment;
  /** Requests that have a slot. */
  readonly taken: number;
  readonly slots: number;
  readonly accepting: boolean;
  readonly reserved: boolean;
  readonly vitals: Vitals;
}

/** @param attests whether this machine can answer challenges. */
export function composeRegister(config: AgentConfig, view: MachineView, attests: boolean): Register {
  const { version, machineId, sessionId, publicKey, hardware, privateOnly } = config;
  return {
    type: "register",
    protocol: PROTOCOL_VERSION,
    version,
    machine_id: machineId,
    session_id: sessionId,
    backend: view.backend,
    public_key: publicKey,
    hardware,
    models: view.offered.map(({ id, sizeBytes, quantization }) => ({
      id,
      size_bytes: sizeBytes,
      ...(quantization === undefined ? {} : { quantization }),
      ...view.speedOf(id),
      ...contextLength(view.contextOf(id)),
    })),
    loaded_models: [...view.loaded],
    max_concurrency: view.slots,
    assignment: reportOf(view.held),
    ...(privateOnly ? { private_only: true } : {}),
    ...(attests ? { attests } : {}),
  };
}

/** The same on a socket that stays. */
export function offerOf(register: Register): Offer {
  return { ...register, type: "offer" };
}

export function composeProof(
  { machineId, sessionId, version }: AgentConfig,
  { nonce, issued_at }: AttestationChallenge,
  attester: Attester,
): AttestationResponse {
  const status = JSON.stringify({ machine_id: machineId, session_id: sessionId, version });
  const certificate_chain = [...attester.certificateChain()];
  return {
    type: "attestation_response",
    nonce,
    signature: attester.sign(attestedText(nonce, issued_at, status)),
    status,
    ...(certificate_chain.length === 0 ? {} : { certificate_chain }),
  };
}

export function composeHeartbeat(view: MachineView): Heartbeat {
  const { loaded, taken, slots, vitals, accepting, reserved, held } = view;
  const [only] = loaded;
  return {
    type: "heartbeat",
    loaded_models: [...loaded],
    running: taken,
    // Nothing waits here for a slot: the pool keeps the line.
    waiting: 0,
    max_concurrency: slots,
    memory_free_gb: vitals.memoryFreeGb,
    memory_pressure: vitals.memoryPressure,
    thermal_state: vitals.thermalState,
    accepting,
    ...(reserved ? { reserved } : {}),
    assignment: reportOf(held),
    ...(only === undefined ? {} : contextLength(view.contextOf(only))),
  };
}

function contextLength(tokens: number | null): { context_length?: number } {
  return tokens === null ? {} : { context_length: tokens };
}
