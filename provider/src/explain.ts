import { z } from "zod";

import { providerUrl, type ConnectionOptions } from "./connection.ts";

/** Asks the coordinator why this machine gets no requests; it sees what the machine itself cannot. */

const TIMEOUT_MS = 10_000;

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

export function createExplain({ coordinator, token, machineId, userAgent }: ConnectionOptions): Explain {
  const url = providerUrl(coordinator, "explain", machineId);
  return async () => {
    try {
      const response = await fetch(url, {
        headers: { Authorization: `Bearer ${token}`, "User-Agent": userAgent },
        redirect: "error",
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      const parsed = explanationSchema.safeParse(await response.json());
      return parsed.success ? parsed.data : null;
    } catch {
      return null;
    }
  };
}
