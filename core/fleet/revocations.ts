import { machineIdSchema } from "../../protocol/ids.ts";
import type { PoolReport } from "../pool/report.ts";
import type { Directory } from "./directory.ts";

/**
 * The revoked provider tokens with which connected machines have registered: their pool has missed the revocation, however long
 * ago that was, and is told again.
 */
export function missedRevocations(
  { machines }: PoolReport,
  directory: Directory,
  isRevoked: (tokenId: string) => boolean,
): string[] {
  const tokens = new Set<string>();
  for (const { machineId, isConnected } of machines) {
    const tokenId = isConnected ? directory.get(machineIdSchema.parse(machineId))?.tokenId : null;
    if (tokenId != null) tokens.add(tokenId);
  }
  return [...tokens].filter(isRevoked);
}
