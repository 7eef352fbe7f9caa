import { statSync } from "node:fs";
import { basename } from "node:path";

import type { LoadedModel, LocalModel } from "../../provider/src/engine.ts";
import { createLlamaEngine, type LlamaEngineOptions } from "../../provider/src/engines/llama.ts";

/** The models of the repository, in llama.cpp. */

export const BARD = modelAt("bard", new URL("../../models/tiny-bard.gguf", import.meta.url).pathname);
export const VERSE = modelAt("verse", new URL("../../models/tiny-verse.gguf", import.meta.url).pathname);
export const CONTEXT_TOKENS = 1024;

export function modelAt(id: string, path: string): LocalModel {
  return { id: basename(id), path, sizeBytes: statSync(path).size };
}

interface LoadSettings {
  readonly slots?: number;
  readonly contextTokens?: number | null;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: number) => void;
}

export function load(
  model: LocalModel,
  settings: LoadSettings = {},
  options: LlamaEngineOptions = {},
): Promise<LoadedModel> {
  const engine = createLlamaEngine({ gpu: false, ...options });
  const signal = new AbortController().signal;
  return engine.load(model, { slots: 2, contextTokens: CONTEXT_TOKENS, signal, ...settings });
}
