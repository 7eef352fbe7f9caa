import { UNPROVEN } from "../../../../core/pool/attestation.ts";
import { Connection, type Registration } from "../../../../core/pool/connection.ts";
import { machineIdSchema } from "../../../../protocol/ids.ts";
import { FakeSocket } from "./fake-socket.ts";
import { MODEL } from "./pool-scene.ts";

/** A registered machine with the model loaded, as plain state and without a pool around it. */
export function aConnection(fields: Partial<Registration> | null = {}, machineId = "mac-1"): Connection {
  const registration: Registration = {
    sessionId: "s",
    version: null,
    publicKey: "k",
    attests: false,
    chip: "Apple M3 Ultra",
    privateOnly: false,
    advertises: true,
    decodeTps: null,
    prefillTps: null,
    contextLength: null,
    loadedModels: [MODEL],
    maxConcurrency: 4,
    running: 0,
    accepting: true,
    thermalState: "nominal",
    held: null,
  };
  const identity = { machineId: machineIdSchema.parse(machineId), owner: "o", tokenId: "t", acceptedAt: 0 };
  const connection = new Connection(new FakeSocket(), identity, {
    identity,
    registration: fields === null ? null : { ...registration, ...fields },
    streamsReserved: 0,
    retiresAt: null,
    trust: UNPROVEN,
  });
  // As a pool sets it where no trust is demanded.
  connection.trustedUntil = Infinity;
  return connection;
}
