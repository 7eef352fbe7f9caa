import type { LlamaModel } from "node-llama-cpp";

/**
 * What a model was made for, by what its file says. A file that names a way of pooling is of a model that makes vectors, and so is
 * one whose tokens see those that come after them: neither can write. Any other one writes, and its vectors are a by-product.
 */
export type ModelPurpose = "chat" | "embeddings" | "ranking";

/** Values of `pooling_type`; without one the last token's vector stands for the text. */
const POOLING = { none: 0, last: 3, rank: 4 } as const;

export interface ModelFacts {
  /** How the vectors of a text's tokens become one. */
  readonly pooling: number;
  /** Whether a token sees only those before it. */
  readonly isCausal: boolean;
  readonly hasDecoder: boolean;
}

export function factsOf({ fileInfo, fileInsights }: LlamaModel): ModelFacts {
  const { pooling_type, attention } = fileInfo.architectureMetadata;
  return {
    pooling: Math.max(POOLING.none, pooling_type ?? POOLING.none),
    isCausal: attention?.causal ?? true,
    hasDecoder: fileInsights.hasDecoder,
  };
}

export function purposeOf({ pooling, isCausal, hasDecoder }: ModelFacts): ModelPurpose {
  if (pooling === POOLING.rank) return "ranking";
  return pooling === POOLING.none && isCausal && hasDecoder ? "chat" : "embeddings";
}

/** Whether llama.cpp has to get a text in one piece: what it pools, it pools over one batch. */
export function readsInOnePiece({ pooling, isCausal }: ModelFacts): boolean {
  return !isCausal || (pooling !== POOLING.none && pooling !== POOLING.last);
}
