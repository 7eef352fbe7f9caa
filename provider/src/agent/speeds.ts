import type { ModelId } from "../../../protocol/ids.ts";
import type { RunResult } from "../engine.ts";

/** How fast this machine has been, by model: the median of recent answers, so that an outlier does not matter. */

const SAMPLES = 15;
/** Shorter samples are dominated by the timer's resolution. */
const MIN_DECODE_TOKENS = 8;
const MIN_PREFILL_TOKENS = 16;

interface Samples {
  readonly decodeTps: number[];
  readonly prefillTps: number[];
}

/** Tokens per second; without what has not been measured yet. */
export interface MeasuredSpeed {
  readonly decode_tps?: number;
  readonly prefill_tps?: number;
}

export class Speeds {
  readonly #samples = new Map<ModelId, Samples>();

  note(model: ModelId, { usage, prefillMs, decodeMs }: RunResult): void {
    // Embeddings read their texts one by one, which says little about prefill speed.
    if (usage.completionTokens === 0) return;
    const samples = this.#samples.get(model) ?? { decodeTps: [], prefillTps: [] };
    this.#samples.set(model, samples);
    // The first token comes out of the prompt's evaluation; decoding is what follows it.
    add(samples.decodeTps, usage.completionTokens - 1, decodeMs, MIN_DECODE_TOKENS);
    // Cached tokens took no time.
    add(samples.prefillTps, usage.promptTokens - usage.cachedTokens, prefillMs, MIN_PREFILL_TOKENS);
  }

  of(model: ModelId): MeasuredSpeed {
    const samples = this.#samples.get(model);
    const decode = median(samples?.decodeTps ?? []);
    const prefill = median(samples?.prefillTps ?? []);
    return {
      ...(decode === null ? {} : { decode_tps: decode }),
      ...(prefill === null ? {} : { prefill_tps: prefill }),
    };
  }
}

function add(samples: number[], tokens: number, ms: number, minTokens: number): void {
  if (!(tokens >= minTokens && ms > 0 && Number.isFinite(ms))) return;
  samples.push((tokens * 1000) / ms);
  if (samples.length > SAMPLES) samples.shift();
}

/** To a tenth of a token, within what the wire takes. */
function median(values: readonly number[]): number | null {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted[Math.floor(sorted.length / 2)];
  return middle === undefined ? null : Math.min(1e9, Math.max(0.1, Math.round(middle * 10) / 10));
}
