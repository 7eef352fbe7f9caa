import { expect } from "vitest";

import { WRONGLY_REFUSED } from "../../../../core/pool/refusal-audit.ts";
import type { PoolReport } from "../../../../core/pool/report.ts";
import type { Totals } from "../../../../core/pool/totals.ts";
import type { Link, Submission } from "./random-link.ts";
import { committedTo } from "./random-room.ts";

/** What must hold at every moment of a random life. */

export function checkClients(submissions: readonly Submission[]): void {
  for (const { client, expected, stream, gone } of submissions) {
    if (gone) expect(client.ended).toBeNull();
    else if (stream) expect(client.content).toBe(expected);
    else if (client.ended === "complete") expect(client.text).toBe(expected);
    else expect(client.text).toBe("");
  }
}

/** Nobody was told that there is no room while a machine had some. */
export function checkRefusals(totals: Totals): void {
  expect([...totals.all()].filter(([name]) => name.startsWith(WRONGLY_REFUSED))).toEqual([]);
}

/**
 * @param open requests that have not ended.
 * @param roomOf requests a machine may be sent now.
 */
export function checkPool(
  { inFlight, queued, machines }: PoolReport,
  open: readonly Submission[],
  links: readonly Link[],
  roomOf: (link: Link) => number,
  now: number,
): void {
  expect(inFlight + queued).toBe(open.length);
  expect(inFlight).toBe(open.filter(({ live }) => live !== null).length);
  for (const { machineId, inFlight: running } of machines) {
    const link = links.find((other) => other.admitted && other.machineId === machineId);
    expect(running).toBe(link === undefined ? 0 : committedTo(link, now));
  }
  // Nobody waits while a machine has room for him.
  for (const submission of open) {
    if (submission.live !== null) continue;
    for (const link of links) {
      // One that is heard of again is noticed at the next tick.
      if (submission.failedOn.has(link.machineId) || !link.wasAlive) continue;
      expect(roomOf(link), `${link.machineId} has room while ${submission.requestId} waits`).toBe(0);
    }
  }
}

/** Whoever asks only for the routable machines hears what the report says. */
export function checkRoutable({ machines }: PoolReport, routable: readonly string[]): void {
  const unblocked = machines.filter(({ blockedBy }) => blockedBy === null).map(({ machineId }) => machineId);
  expect([...routable].toSorted()).toEqual(unblocked.toSorted());
}
