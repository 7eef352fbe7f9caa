import type { Endpoint } from "./endpoint.ts";

/** How a server is told which models to hold, beside OpenAI's API, which has no words for it. */
export interface ServerDialect {
  isSpokenBy(endpoint: Endpoint, signal: AbortSignal): Promise<boolean>;
  /**
   * Has it hold the model and no other one.
   * @returns what requests have to call it, and what fits into one, if the server says so.
   * @throws EngineError, or the signal's reason
   */
  load(
    endpoint: Endpoint,
    /** `contextTokens` null: as much as the server gives. */
    wanted: { readonly name: string; readonly contextTokens: number | null },
    signal: AbortSignal,
  ): Promise<{ readonly name: string; readonly contextTokens: number | null }>;
  /** After requests: it would let go of the model by itself some time later. */
  keep(endpoint: Endpoint, name: string, signal: AbortSignal): Promise<void>;
  /** Has it let go of the model, by either name; resolves when the memory is free. @throws EngineError */
  unload(endpoint: Endpoint, name: string): Promise<void>;
}
