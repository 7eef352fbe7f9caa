/** How hard a machine is to think. Most engines know no more than `high`. */
export function toChatEffort(effort: string | null | undefined): string | undefined {
  return effort === "xhigh" || effort === "max" ? "high" : (effort ?? undefined);
}
