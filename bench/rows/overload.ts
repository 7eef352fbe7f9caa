import { setTimeout as sleep } from "node:timers/promises";

import { isRateLimit } from "../../core/api-error.ts";
import { INITIAL_SETTINGS } from "../../core/pool/settings.ts";
import type { RowSpec } from "../row.ts";
import { arrivalsMs, arrive, type Shape } from "../support/arrivals.ts";
import { Coordinator, SLOTS_PER_MACHINE } from "../support/coordinator.ts";
import { quantile } from "../support/load.ts";
import { ask, type Refused } from "../support/question.ts";
import { MIXED } from "../support/work.ts";

/** What a pool does with more than it can take: how much it still answers, how soon, and whom it turns away how. */

const MACHINES = 5;
const SLOTS = MACHINES * SLOTS_PER_MACHINE;
/** Of an answer, on average. */
const NOMINAL_MS = 400;

const LOADS = [0.5, 1, 2, 5];
const SHAPES: readonly Shape[] = ["steady", "bursts"];

/** Whole bursts; until the line is as short as the load lets it be. */
const WARM_UP_MS = 4000;
const WINDOW_MS = 6000;
const QUICK_WINDOW_MS = 2000;

const MIN_GOODPUT = 0.95;
/** A slot that has been free for longer than a message takes, here and back, is one that a refused request could have had. */
const SLOT_NEWS_MS = 250;
/** Under a steady overload the median first token may take so many times as long as in a half-empty pool. */
const STEADY_SLOWDOWN = 1.5;
/** What the line may take longer than its length says, where it bridges bursts. */
const LINE_SLACK = 1.25;

interface Step {
  readonly load: number;
  /** Answers per second, beside the lower of what was offered and what the machines can take. */
  readonly goodput: number;
  readonly firstTokenMs: { readonly p50: number; readonly p95: number };
  /** How many of those who asked were turned away. */
  readonly refusedShare: number;
  readonly refusals: readonly Refused[];
  /** For how long a slot had been free when each of the 429s came, in milliseconds. */
  readonly slotFreeMs: readonly number[];
  /** What was neither answered nor refused. */
  readonly failures: readonly string[];
}

export const overload: RowSpec = {
  work: `offered load of ${LOADS.join(", ")} times what ${MACHINES} machines can take, steady and in bursts`,
  target:
    `answers at least ${MIN_GOODPUT} of the lower of both; once a load has lasted ${WARM_UP_MS / 1000} s the median first ` +
    `token at most ${STEADY_SLOWDOWN} times that of a half-empty pool while it is steady, and later by no more than a full line takes in bursts; no 429 while a slot was free; every refusal with its code and Retry-After`,
  async run(quick) {
    const coordinator = await Coordinator.start();
    await coordinator.growTo(MACHINES);
    const steps = new Map<Shape, Step[]>();
    for (const shape of SHAPES) {
      const measured: Step[] = [];
      for (const load of LOADS) measured.push(await measure(coordinator, load, shape, quick));
      steps.set(shape, measured);
    }
    await coordinator.stop();
    return verdict(steps);
  },
};

async function measure(coordinator: Coordinator, load: number, shape: Shape, quick: boolean): Promise<Step> {
  const windowMs = quick ? QUICK_WINDOW_MS : WINDOW_MS;
  const times = arrivalsMs((load * SLOTS * 1000) / NOMINAL_MS, WARM_UP_MS + windowMs, shape);
  const offered = times.filter((atMs) => atMs >= WARM_UP_MS).length;
  const firstTokenMs: number[] = [];
  const refusals: Refused[] = [];
  const slotFreeMs: number[] = [];
  const failures: string[] = [];
  let completed = 0;
  const one = async (index: number): Promise<void> => {
    const onRefused = (): void => {
      slotFreeMs.push(coordinator.longestFreeMs());
    };
    const work = MIXED[index % MIXED.length];
    if (work === undefined) return;
    const { outcome, firstTokenMs: waitedMs } = await ask(coordinator.target, work, index, onRefused);
    if (outcome.kind === "complete") {
      completed += 1;
      if ((times[index] ?? 0) >= WARM_UP_MS) firstTokenMs.push(waitedMs ?? Number.NaN);
    } else if (outcome.kind === "refused") refusals.push(outcome);
    else failures.push(JSON.stringify(outcome));
  };
  const asked: Promise<void>[] = [];
  const arriving = arrive(times, (index) => void asked.push(one(index)));
  await sleep(WARM_UP_MS);
  const before = { completed, served: coordinator.served(), at: performance.now() };
  await sleep(windowMs);
  const elapsedMs = performance.now() - before.at;
  const answers = completed - before.completed;
  const served = coordinator.served();
  await arriving;
  await Promise.all(asked);
  const serviceMs = (served.totalMs - before.served.totalMs) / (served.requests - before.served.requests);
  const capacity = (SLOTS * elapsedMs) / serviceMs;
  return {
    load,
    goodput: answers / Math.min((offered * elapsedMs) / windowMs, capacity),
    firstTokenMs: { p50: quantile(firstTokenMs, 0.5), p95: quantile(firstTokenMs, 0.95) },
    refusedShare: refusals.length / times.length,
    refusals,
    slotFreeMs,
    failures,
  };
}

function verdict(steps: ReadonlyMap<Shape, readonly Step[]>): { reached: string; met: boolean } {
  const all = [...steps.values()].flat();
  const refusals = all.flatMap((step) => step.refusals);
  const failures = all.flatMap((step) => step.failures);
  const malformed = refusals.filter((refusal) => !isWellFormed(refusal));
  const freeMs = all.flatMap((step) => step.slotFreeMs);
  const inVain = freeMs.filter((ms) => ms > SLOT_NEWS_MS).length;
  const codes = Map.groupBy(refusals, ({ code }) => code ?? "no code");
  const lines = [...steps].map(([shape, measured]) => `${shape}: ${describe(measured)}`);
  const totals =
    `${refusals.length} refusals (${[...codes].map(([code, { length }]) => `${code} ${length}`).join(", ")}), ` +
    `${malformed.length} of them malformed; ${inVain} while a slot had been free for more than ${SLOT_NEWS_MS} ms ` +
    `(longest ${Math.max(0, ...freeMs).toFixed(0)} ms)`;
  const broken = failures.length === 0 ? [] : [`${failures.length} failed, among them ${failures[0] ?? ""}`];
  return {
    reached: [...lines, totals, ...broken].join("; "),
    met:
      malformed.length === 0 &&
      inVain === 0 &&
      failures.length === 0 &&
      all.every(({ load, goodput }) => load < 1 || goodput >= MIN_GOODPUT) &&
      (steps.get("steady") ?? []).every((step, _, [half]) => isKept(step, half)) &&
      [...steps.values()].every(isBounded),
  };
}

function describe(steps: readonly Step[]): string {
  const base = steps[0]?.firstTokenMs ?? { p50: Number.NaN, p95: Number.NaN };
  const each = (value: (step: Step) => string): string => steps.map(value).join(", ");
  const times = (key: "p50" | "p95"): string =>
    `${key} ${base[key].toFixed(0)} ms, then ${steps
      .slice(1)
      .map(({ firstTokenMs }) => (firstTokenMs[key] / base[key]).toFixed(1))
      .join(", ")} times that`;
  return (
    `answers ${each(({ goodput }) => goodput.toFixed(2))}; first token ${times("p50")}, ${times("p95")}; ` +
    `refused ${each(({ refusedShare }) => `${(100 * refusedShare).toFixed(0)} %`)}`
  );
}

function isKept({ firstTokenMs }: Step, half: Step | undefined): boolean {
  return firstTokenMs.p50 <= STEADY_SLOWDOWN * (half?.firstTokenMs.p50 ?? Number.NaN);
}

/** Whether nobody who was accepted waited longer for his first token than a full line takes, beside a half-empty pool. */
function isBounded(steps: readonly Step[]): boolean {
  const lineMs = (INITIAL_SETTINGS.flags.queue_max * NOMINAL_MS) / SLOTS;
  const baseMs = steps[0]?.firstTokenMs.p95 ?? Number.NaN;
  return steps.every(({ firstTokenMs }) => firstTokenMs.p95 <= baseMs + lineMs * LINE_SLACK);
}

function isWellFormed({ status, code, reason, retryAfterS }: Refused): boolean {
  const isTold = Number.isInteger(retryAfterS) && retryAfterS >= 1 && retryAfterS <= 60;
  return status === 429 && code !== null && isRateLimit(code) && reason === code && isTold;
}
