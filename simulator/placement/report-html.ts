import type { Result } from "./simulate.ts";
export function reportHtml(_result: Result, _of: { trace: string; fleet: string }): string {
  return "";
}
