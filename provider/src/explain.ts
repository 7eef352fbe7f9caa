import { z } from "zod";

import { askCoordinator } from "./ask-coordinator.ts";
import { providerUrl, type ConnectionOptions } from "./connection.ts";

/** Asks the coordinator why this machine gets no requests; it sees what the machine itself cannot. */

const sentence = z.string().max(2000);

const explanationSchema = z.object({
  /** Null if nothing keeps requests away. */
  gate: sentence.nullable(),
  why: sentence,
  fix: sentence.nullable(),
  /** Which model would be worth more here; a coordinator before 0.10 does not say. */
  advice: sentence.nullable().default(null),
});

export type Explanation = z.infer<typeof explanationSchema>;

/** Null if the coordinator does not say. */
export type Explain = () => Promise<Explanation | null>;

export function createExplain(connection: ConnectionOptions): Explain {
  const url = providerUrl(connection.coordinator, "explain", connection.machineId);
  return async () => {
    const answer = await askCoordinator(url, connection, explanationSchema);
    return answer.ok ? answer.value : null;
  };
}
