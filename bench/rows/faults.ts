import { setTimeout as sleep } from "node:timers/promises";

import type { RowSpec } from "../row.ts";
import { arrivalsMs, arrive } from "../support/arrivals.ts";
import { Coordinator, SLOTS_PER_MACHINE } from "../support/coordinator.ts";
import type { Job } from "../support/mock-provider.ts";
import { ask, type Answered } from "../support/question.ts";
import { LONGER } from "../support/work.ts";

/** What clients notice of machines that vanish under load, one after the other, and come back. */

const MACHINES = 5;
/** Of what the machines that are left can take. */
const LOAD = 0.6;
const SERVICE_MS = (LONGER.prefillMs ?? 0) + (LONGER.tokens - 1) * LONGER.intervalMs;
const PER_SECOND = (LOAD * (MACHINES - 1) * SLOTS_PER_MACHINE * 1000) / SERVICE_MS;

const DURATION_MS = 120_000;
const QUICK_DURATION_MS = 30_000;
const KILL_EVERY_MS = 10_000;
/** The first one dies when all of them have something to do. */
const FIRST_KILL_MS = 3000;
const AWAY_MS = 3000;
const WORST_MOMENT_MS = 2000;

export const faults: RowSpec = {
  work:
    `one of ${MACHINES} machines killed every ${KILL_EVERY_MS / 1000} s, and back after ${AWAY_MS / 1000} s, ` +
    `at ${LOAD} of what the other four can take`,
  target:
    "each request has one outcome: none lost, no token missing or twice; only those fail that had begun to answer on " +
    "a machine that died",
  async run(quick) {
    const coordinator = await Coordinator.start();
    await coordinator.growTo(MACHINES);
    const durationMs = quick ? QUICK_DURATION_MS : DURATION_MS;
    const answers: Promise<Answered>[] = [];
    const [, deaths] = await Promise.all([
      arrive(arrivalsMs(PER_SECOND, durationMs, "steady"), (question) => {
        answers.push(ask(coordinator.target, LONGER, question));
      }),
      kill(coordinator, durationMs),
    ]);
    const answered = await Promise.all(answers);
    await coordinator.stop();
    return verdict(answered, deaths);
  },
};

/** Questions by what had become of them when their machine died. */
interface Deaths {
  machines: number;
  readonly begun: Set<number>;
  readonly unanswered: Set<number>;
}

async function kill(coordinator: Coordinator, durationMs: number): Promise<Deaths> {
  const deaths: Deaths = { machines: 0, begun: new Set(), unanswered: new Set() };
  const startedAt = performance.now();
  for (let atMs = FIRST_KILL_MS; atMs + WORST_MOMENT_MS + AWAY_MS < durationMs; atMs += KILL_EVERY_MS) {
    await sleep(startedAt + atMs - performance.now());
    const index = deaths.machines++ % MACHINES;
    const jobs = await worstMoment(coordinator, index);
    coordinator.kill(index);
    for (const { question, begun } of jobs) {
      if (question !== null) (begun ? deaths.begun : deaths.unanswered).add(question);
    }
    await sleep(AWAY_MS);
    await coordinator.revive(index);
  }
  return deaths;
}

/** When the machine has begun one answer and not yet another; no later than after `WORST_MOMENT_MS`. */
async function worstMoment(coordinator: Coordinator, index: number): Promise<readonly Job[]> {
  const until = performance.now() + WORST_MOMENT_MS;
  for (;;) {
    const jobs = coordinator.jobsOf(index);
    const isWorst = jobs.some(({ begun }) => begun) && jobs.some(({ begun }) => !begun);
    if (isWorst || performance.now() >= until) return jobs;
    await sleep(1);
  }
}

function verdict(
  answered: readonly Answered[],
  { machines, begun, unanswered }: Deaths,
): { reached: string; met: boolean } {
  const failed = answered.filter(({ outcome }) => outcome.kind !== "complete");
  const of = (kind: Answered["outcome"]["kind"]): readonly Answered[] =>
    answered.filter(({ outcome }) => outcome.kind === kind);
  const [lost, doubled, cut, refused] = [of("lost"), of("doubled"), of("cut"), of("refused")];
  // One that was tried again may have begun on the next machine, and lost that one too.
  const elsewhere = failed.filter(({ question }) => !begun.has(question));
  const retried = answered.filter(({ question }) => unanswered.has(question) && !begun.has(question));
  const saved = retried.filter(({ outcome }) => outcome.kind === "complete");
  const isCoded = ({ outcome }: Answered): boolean => outcome.kind !== "refused" || outcome.code !== null;
  const strange = [...lost, ...doubled, ...elsewhere][0];
  return {
    reached:
      `${machines} deaths under ${answered.length} requests: ${answered.length - failed.length} complete, ${cut.length} ended by an ` +
      `error event, ${refused.length} refused; ${lost.length} lost, ${doubled.length} with a token twice or missing; ` +
      `${((100 * failed.length) / answered.length).toFixed(1)} % failed, ${elsewhere.length} of them without having begun on a ` +
      `machine that died; ${saved.length} of ${retried.length} that had not begun there were answered by another` +
      (strange === undefined ? "" : `; among them ${JSON.stringify(strange)}`),
    met:
      lost.length === 0 &&
      doubled.length === 0 &&
      elsewhere.length === 0 &&
      saved.length === retried.length &&
      failed.every(isCoded) &&
      begun.size > 0 &&
      retried.length > 0,
  };
}
