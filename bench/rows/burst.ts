import { setTimeout as sleep } from "node:timers/promises";

import { LONGEST_VERDICT_MS } from "../../core/limits.ts";
import type { RowSpec } from "../row.ts";
import { Coordinator, SLOTS_PER_MACHINE } from "../support/coordinator.ts";
import { askAtOnce, type Drained } from "../support/crowd.ts";
import { ask } from "../support/question.ts";
import { MIXED, ONE_TOKEN } from "../support/work.ts";

/** Whether official clients, retrying as they do by themselves, drain a burst or turn it into a storm. */

const MACHINES = 5;
const SLOTS = MACHINES * SLOTS_PER_MACHINE;
/** Of an answer, on average. */
const NOMINAL_MS = 400;

/** Five seconds' work, and how many slots and places in line can hold at once five times over. */
const CLIENTS = 250;
const QUICK_CLIENTS = 100;
const MANY_RETRIES = 10;

/** Their waits are the pool's, from 10 s on. */
const WITHOUT_MACHINES = 50;
const QUICK_WITHOUT_MACHINES = 10;
const MACHINES_AFTER_MS = 5000;

const WAVE_MS = 1000;
/** A refusal comes at once, not after a wait in line. */
const AT_ONCE_MS = 1000;
/** What a message takes, here and back. */
const SLOT_NEWS_MS = 250;

interface Burst extends Drained {
  /** 429s that came although a slot was free long before and long after. */
  readonly inVain: number;
}

export const burst: RowSpec = {
  work:
    `official clients that all ask a pool of ${SLOTS} slots at once: as they are, with ${MANY_RETRIES} retries, and a pool ` +
    `whose machines come ${MACHINES_AFTER_MS / 1000} s later`,
  target:
    "all served, but for those whose own retries are used up; after the first second never as many requests a second as in it; no 429 " +
    "while a slot was free",
  async run(quick) {
    const [[plain, patient], exhausted] = await Promise.all([askBusy(quick), askExhausted(quick)]);
    const [workMs, fewMs] = [plain, exhausted].map(({ clients }) => (clients * NOMINAL_MS) / SLOTS);
    const all = [plain, patient, exhausted];
    const inVain = all.reduce((sum, drained) => sum + drained.inVain, 0);
    const failures = all.flatMap((drained) => drained.failures);
    return {
      reached:
        `as they are: ${describe(plain, workMs ?? 0)}; with ${MANY_RETRIES} retries: ${describe(patient, workMs ?? 0)}; ` +
        `without machines: ${describe(exhausted, MACHINES_AFTER_MS + (fewMs ?? 0))}; ` +
        `${inVain} 429s while a slot was free` +
        (failures.length === 0 ? "" : `; ${failures.length} failed, among them ${failures[0] ?? ""}`),
      met:
        failures.length === 0 &&
        inVain === 0 &&
        patient.gaveUp === 0 &&
        exhausted.gaveUp === 0 &&
        all.every(
          ({ attemptsMs, clients }) => attemptsMs.length > clients && laterPeak(attemptsMs) < clients,
        ),
    };
  },
};

async function askBusy(quick: boolean): Promise<readonly [Burst, Burst]> {
  const coordinator = await Coordinator.start();
  await coordinator.growTo(MACHINES);
  // So that the pool knows how long an answer takes.
  await askAtOnce(coordinator.target, MIXED, SLOTS, null, () => undefined);
  const clients = quick ? QUICK_CLIENTS : CLIENTS;
  const plain = await watched(coordinator, clients, null, SLOT_NEWS_MS);
  const patient = await watched(coordinator, clients, MANY_RETRIES, SLOT_NEWS_MS);
  await coordinator.stop();
  return [plain, patient];
}

async function askExhausted(quick: boolean): Promise<Burst> {
  const coordinator = await Coordinator.start();
  await coordinator.admin.setFlag("pool_exhausted_429", "on");
  await coordinator.growTo(1);
  coordinator.dismissMachines();
  await untilExhausted(coordinator);
  const clients = quick ? QUICK_WITHOUT_MACHINES : WITHOUT_MACHINES;
  const asking = watched(coordinator, clients, null, LONGEST_VERDICT_MS + SLOT_NEWS_MS);
  await sleep(MACHINES_AFTER_MS);
  await coordinator.growTo(MACHINES);
  const drained = await asking;
  await coordinator.stop();
  return drained;
}

async function watched(
  coordinator: Coordinator,
  clients: number,
  maxRetries: number | null,
  newsMs: number,
): Promise<Burst> {
  const checks: Promise<boolean>[] = [];
  const drained = await askAtOnce(coordinator.target, MIXED, clients, maxRetries, () => {
    checks.push(coordinator.hasIdleSlot(newsMs));
  });
  const inVain = (await Promise.all(checks)).filter((isIdle) => isIdle).length;
  return { ...drained, inVain };
}

/** For a while after its machine has gone the pool lets requests wait for it. */
async function untilExhausted({ target }: Coordinator): Promise<void> {
  for (let isExhausted = false; !isExhausted; await sleep(LONGEST_VERDICT_MS)) {
    const askedAt = performance.now();
    const { outcome } = await ask(target, ONE_TOKEN, 0);
    const isAtOnce = performance.now() - askedAt < AT_ONCE_MS;
    isExhausted = isAtOnce && outcome.kind === "refused" && outcome.code === "pool_exhausted";
  }
}

function describe({ clients, served, gaveUp, attemptsMs, drainedMs }: Burst, idealMs: number): string {
  return (
    `${served} of ${clients} served, ${gaveUp} gave up, ${(attemptsMs.length / clients).toFixed(1)} requests each, ` +
    `done after ${(drainedMs / 1000).toFixed(1)} s (${(drainedMs / idealMs).toFixed(1)} times the least possible), ` +
    `${clients} requests in the first second and then at most ${laterPeak(attemptsMs)}`
  );
}

/** The most requests within a second, those of the first one left out. */
function laterPeak(attemptsMs: readonly number[]): number {
  const later = attemptsMs.filter((atMs) => atMs >= WAVE_MS);
  return Math.max(0, ...later.map((from) => later.filter((at) => at >= from && at < from + WAVE_MS).length));
}
