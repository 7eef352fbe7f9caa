import { CHAT_CHECKS } from "./chat-checks.ts";
import type { Check } from "./check.ts";
import { REFUSAL_CHECKS } from "./refusal-checks.ts";
import { RESPONSE_CHECKS } from "./response-checks.ts";
import { Breach, type Target } from "./target.ts";

/** All that is checked, and the run of it. Checks share nothing, so one that fails says nothing of the next. */

export interface Finding {
  readonly id: string;
  readonly rule: string;
  /** How it is broken; null if it is kept. */
  readonly breach: string | null;
}

export const CHECKS: readonly Check[] = [...CHAT_CHECKS, ...RESPONSE_CHECKS, ...REFUSAL_CHECKS];

/** One after the other: a small server must not look broken because it is busy. */
export async function runChecks(
  target: Target,
  checks: readonly Check[],
  onFinding: (finding: Finding) => void = () => {},
): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const { id, rule, run } of checks) {
    const finding = { id, rule, breach: await breachOf(() => run(target)) };
    onFinding(finding);
    findings.push(finding);
  }
  return findings;
}

async function breachOf(run: () => Promise<void>): Promise<string | null> {
  try {
    await run();
    return null;
  } catch (error) {
    if (error instanceof Breach) return error.message;
    if (!(error instanceof Error)) throw error;
    const { cause } = error;
    // What `fetch` throws: no connection, a broken one, or no end within the limit.
    return `no answer: ${error.message}${cause instanceof Error ? ` (${cause.message})` : ""}`;
  }
}
