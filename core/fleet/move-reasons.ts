import type { Move } from "../placement/types.ts";

/** As the machine's owner reads it: what moved it, with the numbers. */
export function reasonText({ reason, from, to, won, lost }: Move): string {
  const gains = `"${to}" gains ${won.toFixed(2)} requests/s`;
  switch (reason) {
    case "floor":
      return `floor: "${to}" has fewer machines than its floor`;
    case "first_machine":
      return `first machine: "${to}" is asked for and has none`;
    case "demand_gain":
      return from === null ? `demand: ${gains}` : `demand: ${gains}, "${from}" loses ${lost.toFixed(2)}`;
    case "placed_empty":
      return `placed_empty: the machine held nothing of use; "${to}" needs it most`;
    case "adopted":
      return `adopted: the machine holds "${to}" and keeps it`;
  }
}

/** Whether it is the reason of an order that left a machine where it was. */
export function isAdoption(reason: string): boolean {
  return reason.startsWith("adopted: ");
}
