import type { LoadedModel } from "../engine.ts";
import { drain } from "./drain.ts";
import type { Jobs } from "./jobs.ts";
import type { ModelHolder } from "./model-holder.ts";
import type { Clock, Log, OfferedModel, Vitals } from "./ports.ts";

/**
 * Switching from one model to another: drain, unload, wait for the memory, load and warm up. After every wait it checks
 * the signal, so a superseded switch does nothing more; above all, it unloads nothing (F14).
 */

/** The system reports freed memory with a delay. If it never does, the load is tried anyway. */
const MEMORY_WAIT_MS = 10_000;
const MEMORY_POLL_MS = 250;
const BYTES_PER_GB = 1e9;

export interface SwitchPorts {
  readonly clock: Clock;
  readonly log: Log;
  readonly vitals: () => Vitals;
  readonly holder: ModelHolder;
  readonly jobs: Jobs;
}

/**
 * Makes `model` the only one in memory. The caller makes sure that no new request is accepted meanwhile.
 * @throws EngineError if the load failed; the signal's reason if it was aborted.
 */
export async function switchTo(
  model: OfferedModel,
  { drainMs, onPhase }: { drainMs: number; onPhase: (phase: "draining" | "loading") => void },
  ports: SwitchPorts,
  signal: AbortSignal,
): Promise<LoadedModel> {
  const { clock, holder, jobs, log } = ports;
  const running = jobs.running();
  if (running > 0) {
    log.info(`draining: ${running} ${running === 1 ? "request" : "requests"}`);
    onPhase("draining");
    await drain(jobs, drainMs, clock, signal);
    signal.throwIfAborted();
  }
  onPhase("loading");
  // A load of this very model that an older order or a request has begun is joined, not started again.
  if (!holder.isLoading(model.id)) {
    await holder.release("another model is wanted now");
    signal.throwIfAborted();
    await untilMemoryIsBack(model, ports, signal);
    signal.throwIfAborted();
  }
  const loaded = await holder.hold(model);
  signal.throwIfAborted();
  return loaded;
}

async function untilMemoryIsBack(
  { id, sizeBytes }: OfferedModel,
  { clock, log, vitals }: SwitchPorts,
  signal: AbortSignal,
): Promise<void> {
  const freeBytes = (): number => vitals().memoryFreeGb * BYTES_PER_GB;
  let pauses = MEMORY_WAIT_MS / MEMORY_POLL_MS;
  for (; !signal.aborted && freeBytes() < sizeBytes; pauses -= 1) {
    if (pauses <= 0) {
      const neededGb = Math.round(sizeBytes / 1e8) / 10;
      const freeGb = Math.round(freeBytes() / 1e8) / 10;
      log.warn("there seems to be too little memory: trying to load anyway", { model: id, neededGb, freeGb });
      return;
    }
    await pause(MEMORY_POLL_MS, clock, signal);
  }
}

function pause(ms: number, clock: Clock, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      cancel();
      signal.removeEventListener("abort", end);
      resolve();
    };
    const cancel = clock.after(ms, end);
    signal.addEventListener("abort", end);
  });
}
