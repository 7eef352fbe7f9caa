import type { ChatWrapper, Llama, LlamaModel } from "node-llama-cpp";

import type { LlamaEmbedder } from "./llama-embedder.ts";
import type { SlotPool } from "./llama-slots.ts";

/** A loaded model with all that runs on it, in the process that holds it. */
export interface LlamaHost {
  readonly llama: Llama;
  readonly contextTokens: number;
  /** Null for a model that only makes vectors. */
  readonly chats: ChatHost | null;
  readonly embedder: LlamaEmbedder;
  dispose(): Promise<void>;
}

/** What chats need of it. */
export interface ChatHost {
  readonly llama: Llama;
  readonly model: LlamaModel;
  readonly chatWrapper: ChatWrapper;
  readonly slots: SlotPool;
  readonly contextTokens: number;
  readonly sliceTokens: number;
}

/** The reader of one request's answer. */
export interface RunControl<Event> {
  readonly emit: (event: Event) => void;
  readonly signal: AbortSignal;
  /** Resolves when the engine may go on; asked before each piece of the work. */
  readonly mayGoOn: () => Promise<void>;
}

/** Text that is longer than any that fits is refused before it is tokenized, which would hold up the other requests. */
export const MAX_CHARS_PER_TOKEN = 64;
