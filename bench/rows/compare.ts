import { setTimeout as sleep } from "node:timers/promises";

import type { RowSpec } from "../row.ts";
import type { Target } from "../support/chat.ts";
import { SLOTS_PER_MACHINE } from "../support/coordinator.ts";
import { Load } from "../support/load.ts";
import { cpuMicros } from "../support/processes.ts";
import { BLAST, CHAT, PACED, type Work } from "../support/work.ts";
import type { Targets } from "../targets.ts";

/** CPU per unit of work, beside Portkey's, nginx's and the platform's own. */

const ROUNDS = 3;
const WARM_UP_MS = 1300;
const WINDOW_MS = 3000;

interface Comparison extends Measured {
  readonly work: string;
  readonly maxOfPortkey: number;
  /** Null if there is no target. */
  readonly maxOfNginx: number | null;
}

export const CHAT_ROW: Comparison = {
  work: "non-stream chat, CPU per request",
  unit: "request",
  load: CHAT,
  concurrency: 32,
  maxOfPortkey: 0.4,
  maxOfNginx: 7,
};
export const PACED_ROW: Comparison = {
  work: "100 streams at 50 tokens/s, default flush, CPU per token",
  unit: "token",
  load: PACED,
  concurrency: 100,
  maxOfPortkey: 0.4,
  maxOfNginx: 2,
};
export const BLAST_ROW: Comparison = {
  work: "32 streams at full speed, 10 tokens per record, CPU per token",
  unit: "token",
  load: BLAST,
  concurrency: 32,
  maxOfPortkey: 0.6,
  maxOfNginx: null,
};

/** What a server is given to do, and what of it is counted. */
interface Measured {
  readonly unit: "request" | "token";
  readonly load: Work;
  readonly concurrency: number;
  /** Of each request, beside its model; a short prompt, if left out. */
  readonly fields?: object;
}

/** CPU and work of one server, summed over the rounds. */
export interface Total {
  micros: number;
  units: number;
  elapsedMicros: number;
}

/** The servers take turns, so that what else the machine does falls on all of them alike. */
export function compare(spec: Comparison, targets: () => Promise<Targets>): RowSpec {
  const { work, unit, maxOfPortkey, maxOfNginx } = spec;
  return {
    work,
    target: `at most ${maxOfPortkey} of Portkey's${maxOfNginx === null ? "" : `, ${maxOfNginx} times nginx's`}`,
    async run(quick) {
      const { coordinator, bare, portkey, nginx } = await targets();
      const machines = spec.concurrency / SLOTS_PER_MACHINE;
      await Promise.all([coordinator.growTo(machines), bare.growTo(machines)]);
      const [product, ofBare, ofPortkey, ofNginx] = [newTotal(), newTotal(), newTotal(), newTotal()];
      for (let round = 0; round < (quick ? 1 : ROUNDS); round++) {
        await measure(coordinator.target, spec, product, quick);
        await measure(bare.target, spec, ofBare, quick);
        if (nginx !== null) await measure(nginx, spec, ofNginx, quick);
        await measure(portkey, spec, ofPortkey, quick);
      }
      const cost = perUnit(product);
      const portkeyRatio = cost / perUnit(ofPortkey);
      const nginxRatio = nginx === null ? null : cost / perUnit(ofNginx);
      const nginxReached =
        nginxRatio === null
          ? "nginx is not installed: not compared"
          : `${nginxRatio.toFixed(2)} times nginx's (${perUnit(ofNginx).toFixed(1)} µs)`;
      return {
        reached:
          `${cost.toFixed(1)} µs per ${unit}: ${portkeyRatio.toFixed(2)} of Portkey's ` +
          `(${perUnit(ofPortkey).toFixed(1)} µs), ${nginxReached}, ${(cost / perUnit(ofBare)).toFixed(2)} times bare workerd's ` +
          `(${perUnit(ofBare).toFixed(1)} µs); server ${percent(product)} busy`,
        met:
          portkeyRatio <= maxOfPortkey &&
          (maxOfNginx === null || nginxRatio === null || nginxRatio <= maxOfNginx),
      };
    },
  };
}

/** Adds one round. */
export async function measure(target: Target, spec: Measured, total: Total, quick: boolean): Promise<void> {
  const { pid } = target;
  if (pid === null) throw new Error(`${target.name} has no process of its own`);
  const load = new Load(target, spec.load, spec.concurrency, spec.fields);
  const units = (): number => (spec.unit === "request" ? load.answers : load.tokens);
  await sleep(WARM_UP_MS);
  const before = { micros: cpuMicros(pid), units: units(), at: performance.now() };
  await sleep(quick ? WINDOW_MS / 2 : WINDOW_MS);
  total.micros += cpuMicros(pid) - before.micros;
  total.units += units() - before.units;
  total.elapsedMicros += (performance.now() - before.at) * 1000;
  await load.stop();
}

export function newTotal(): Total {
  return { micros: 0, units: 0, elapsedMicros: 0 };
}

export function perUnit({ micros, units }: Total): number {
  return micros / units;
}

function percent({ micros, elapsedMicros }: Total): string {
  return `${((100 * micros) / elapsedMicros).toFixed(0)} %`;
}
