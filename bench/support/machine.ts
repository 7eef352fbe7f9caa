import { readFileSync } from "node:fs";
import { cpus } from "node:os";

import { childrenCpuMicros, TICKS_PER_SECOND } from "./processes.ts";

/** How much of the machine something else than the bench was using, since that spoils numbers. */
export class Bystanders {
  readonly #startedAt = performance.now();
  readonly #busyAtStart = busyMicros() - ownMicros();

  /** Share of all cores, 0 to 1, that went to others since construction. */
  share(): number {
    const elapsedMicros = (performance.now() - this.#startedAt) * 1000 * cpus().length;
    return Math.max(0, busyMicros() - ownMicros() - this.#busyAtStart) / elapsedMicros;
  }
}

/** All cores' time outside of idling and waiting for disks since boot, in microseconds; what the host took included. */
function busyMicros(): number {
  const [line = ""] = readFileSync("/proc/stat", "utf8").split("\n");
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = line
    .trim()
    .split(/\s+/)
    .slice(1)
    .map(Number);
  return ((user + nice + system + irq + softirq + steal) * 1e6) / TICKS_PER_SECOND;
}

function ownMicros(): number {
  const { user, system } = process.cpuUsage();
  return user + system + childrenCpuMicros();
}
