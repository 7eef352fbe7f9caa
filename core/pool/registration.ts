import type { Registered } from "../../protocol/downstream.ts";
import type { MachineId, ModelId } from "../../protocol/ids.ts";
import { HEARTBEAT_INTERVAL_MS } from "../../protocol/limits.ts";
import type { Heartbeat, Register } from "../../protocol/upstream.ts";
import type { Registration } from "./connection.ts";
import { plausibleSpeeds } from "./plausible.ts";

/** What a machine says of itself, as the pool of `model` keeps it. */

export function registrationOf(register: Register, model: ModelId): Registration {
  const advertised = register.models.find(({ id }) => id === model);
  return {
    sessionId: register.session_id,
    version: register.version ?? null,
    publicKey: register.public_key,
    attests: register.attests ?? false,
    chip: register.hardware.chip_name,
    privateOnly: register.private_only ?? false,
    advertises: advertised !== undefined,
    ...plausibleSpeeds(advertised ?? {}),
    contextLength: advertised?.context_length ?? null,
    loadedModels: register.loaded_models,
    maxConcurrency: register.max_concurrency,
    running: 0,
    accepting: true,
    thermalState: "nominal",
    held: register.assignment,
  };
}

/** @param model the pool's. */
export function withHeartbeat(known: Registration, heartbeat: Heartbeat, model: ModelId): Registration {
  const { loaded_models: loaded, context_length: contextLength } = heartbeat;
  const isOfModel = contextLength !== undefined && loaded.length === 1 && loaded[0] === model;
  return {
    ...known,
    contextLength: isOfModel ? contextLength : known.contextLength,
    loadedModels: loaded,
    maxConcurrency: heartbeat.max_concurrency,
    running: heartbeat.running,
    accepting: heartbeat.accepting,
    reserved: heartbeat.reserved ?? false,
    thermalState: heartbeat.thermal_state,
    held: heartbeat.assignment,
  };
}

/** The answer to an admitted register: the pools and the assignment of the machine. */
export function registered(
  machineId: MachineId,
  pool: ModelId,
  pools: readonly ModelId[],
  assignment: Registered["assignment"],
  flushMs: number,
): Registered {
  return {
    type: "registered",
    machine_id: machineId,
    pool,
    pools: [...pools],
    assignment,
    heartbeat_ms: HEARTBEAT_INTERVAL_MS,
    flush_ms: flushMs,
    takes_offers: true,
  };
}
