import type { EngineError, LoadOptions, LocalModel } from "../../engine.ts";
import type { Endpoint } from "./endpoint.ts";

/** Where the engine `server` gets its servers from: a command that is started for each model, or one that runs anyway. */
export interface ServerHost {
  /**
   * Has a server hold the model, and nothing else.
   * @throws EngineError, or the signal's reason; then nothing is held.
   */
  hold(model: LocalModel, options: LoadOptions): Promise<HeldServer>;
}

/** A server that holds one model. */
export interface HeldServer {
  readonly endpoint: Endpoint;
  /** What it calls the model. */
  readonly modelName: string;
  /** What fits into a request, if the server says so. */
  readonly contextTokens: number | null;
  /** Settles if the server is gone by itself or hangs; never once it was let go. */
  readonly died: Promise<EngineError>;
  /** Looks after the server from now on. @param isIdle whether it has nothing to do for this machine, so that it has to answer */
  watch(isIdle: () => boolean): void;
  /** The last request that ran is over. */
  onIdle(): void;
  /** A request did not get through: time to see whether the server is still there. */
  onUnreachable(): Promise<void>;
  /** Frees the memory for certain. Safe to call twice. */
  release(): Promise<void>;
}
