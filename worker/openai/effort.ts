/** How hard a machine is to think. Engines know no more than `high`, and ours takes what it does not know for `low`. */
export function toChatEffort(effort: string | null | undefined): string | undefined {
  return effort === "xhigh" || effort === "max" ? "high" : (effort ?? undefined);
}
