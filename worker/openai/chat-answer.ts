/** What machines answer to a chat completion, as far as the other routes translate it. */

export interface ChatUsage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly total_tokens: number;
  readonly prompt_tokens_details?: { readonly cached_tokens?: number };
  readonly completion_tokens_details?: { readonly reasoning_tokens?: number };
}

/** A call, or a piece of one. */
export interface ChatToolCall {
  readonly index?: number;
  readonly id?: string;
  readonly function?: { readonly name?: string; readonly arguments?: string };
}

export interface ChatDelta {
  readonly content?: string | null;
  readonly reasoning_content?: string | null;
  readonly tool_calls?: readonly ChatToolCall[] | null;
}

export interface ChatError {
  readonly message: string;
  readonly type: string;
  readonly code: string;
  readonly param: string | null;
}

/** Why an answer has ended. */
interface ChatEnd<Reason> {
  readonly finish_reason: Reason;
  /** Not of OpenAI's: which text of `stop` it was, from machines that say so. Others say other things here. */
  readonly stop_reason?: unknown;
}

/** A chunk of a stream, or its error event. */
export interface ChatChunk {
  readonly choices?: readonly (ChatEnd<string | null> & { readonly delta: ChatDelta })[];
  readonly usage?: ChatUsage | null;
  readonly error?: ChatError;
}

export interface ChatCompletion {
  readonly choices: readonly (ChatEnd<string> & { readonly message: ChatDelta })[];
  readonly usage?: ChatUsage | null;
}
