import type { ChatWrapper, Llama, LlamaModel } from "node-llama-cpp";

import type { SlotPool } from "./llama-slots.ts";

/** A loaded model with all that runs on it, in the process that holds it. */
export interface LlamaHost {
  readonly llama: Llama;
  readonly model: LlamaModel;
  readonly chatWrapper: ChatWrapper;
  readonly slots: SlotPool;
  readonly contextTokens: number;
  readonly sliceTokens: number;
  dispose(): Promise<void>;
}
