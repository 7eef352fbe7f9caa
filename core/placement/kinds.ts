import { ownValue } from "../own-value.ts";
import type { Fitness, ModelEstimate, PlacementConfig, PlacementMachine, PlacementModel } from "./types.ts";

/**
 * What each machine can serve of each model. Machines with the same `fits` object are of one kind and are looked at once: in a
 * large fleet that is most of the work of a plan.
 */

export interface KnownModel {
  readonly model: PlacementModel;
  readonly estimate: ModelEstimate;
}

export interface Kind {
  readonly fits: PlacementMachine["fits"];
  machines: number;
  /** Requests/s of one such machine, per pool; 0 where the model does not fit or would be too slow. */
  readonly capacities: Float64Array;
  /** The largest of them. */
  readonly best: number;
}

export interface KnownMachine {
  readonly machine: PlacementMachine;
  readonly kind: Kind;
}

/** Each machine with its kind. */
export function withKinds(
  models: readonly KnownModel[],
  machines: readonly PlacementMachine[],
  config: PlacementConfig,
): KnownMachine[] {
  const kinds = new Map<PlacementMachine["fits"], Kind>();
  // One buffer for all: thousands of small ones cost more than the plan.
  const buffer = new Float64Array(new Set(machines.map(({ fits }) => fits)).size * models.length);
  return machines.map((machine) => {
    const { fits } = machine;
    let kind = kinds.get(fits);
    if (kind === undefined) {
      const start = kinds.size * models.length;
      kind = kindOf(fits, models, buffer.subarray(start, start + models.length), config);
      kinds.set(fits, kind);
    }
    kind.machines += 1;
    return { machine, kind };
  });
}

/** @param capacities where they are put. */
function kindOf(
  fits: PlacementMachine["fits"],
  models: readonly KnownModel[],
  capacities: Float64Array,
  config: PlacementConfig,
): Kind {
  let [index, best] = [0, 0];
  for (const { model, estimate } of models) {
    const fit = ownValue(fits, model.modelId);
    const capacity = fit === undefined ? 0 : requestsPerSecond(fit, estimate, config);
    if (capacity > best) best = capacity;
    capacities[index] = capacity;
    index += 1;
  }
  return { fits, machines: 0, capacities, best };
}

/** What a machine can serve of a model; 0 if it would be too slow. */
export function requestsPerSecond(
  fit: Fitness,
  request: TokensPerRequest,
  { decodeFloorTps }: Pick<PlacementConfig, "decodeFloorTps">,
): number {
  return fit.decodeTps < decodeFloorTps ? 0 : fit.slots / requestSeconds(fit, request);
}

/** Means. */
type TokensPerRequest = Pick<ModelEstimate, "promptTokens" | "outputTokens">;

/** How long one request takes. By the machines' own counts both may be 0 tokens, and no machine answers endlessly many of those. */
export function requestSeconds({ prefillTps, decodeTps }: Fitness, request: TokensPerRequest): number {
  return request.promptTokens / prefillTps + Math.max(1, request.outputTokens) / decodeTps;
}

/** Of more kinds than this, evenly spaced ones are taken for a median. */
const MEDIAN_SAMPLE = 256;

/** Median over the machines that can serve a model of how long one of its requests takes. */
export function medianSeconds(
  { model, estimate }: KnownModel,
  index: number,
  kinds: readonly Kind[],
): number {
  const stride = Math.ceil(kinds.length / MEDIAN_SAMPLE);
  const sample: { seconds: number; machines: number }[] = [];
  for (let at = 0; at < kinds.length; at += stride) {
    const kind = kinds[at];
    if (kind === undefined || (kind.capacities[index] ?? 0) === 0) continue;
    const fit = ownValue(kind.fits, model.modelId);
    if (fit === undefined) continue;
    sample.push({ seconds: requestSeconds(fit, estimate), machines: kind.machines });
  }
  sample.sort((a, b) => a.seconds - b.seconds);
  let left = sample.reduce((sum, { machines }) => sum + machines, 0) / 2;
  for (const { seconds, machines } of sample) {
    left -= machines;
    if (left < 0) return seconds;
  }
  return sample.at(-1)?.seconds ?? 1;
}
