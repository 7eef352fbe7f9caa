import {
  asEngineError,
  type EmitAnswerEvent,
  type Engine,
  EngineError,
  type EngineRequest,
  type LoadedModel,
  type LoadOptions,
  type LocalModel,
  type RunResult,
} from "../../engine.ts";
import { reasonOf } from "../../reason.ts";
import { UNREACHABLE } from "./endpoint.ts";
import { failureToLoad } from "./server-errors.ts";
import type { HeldServer, ServerHost } from "./server-host.ts";
import { runChat, runEmbeddings } from "./server-requests.ts";

/**
 * The engine `server`: any program with OpenAI's API, such as llama-server, an MLX server, Ollama or LM Studio. What it can
 * do it says itself: requests go on as the client wrote them, under the server's own name of the model.
 *
 * @param log lines for the machine's owner.
 */
export function createServerEngine(host: ServerHost, log: (line: string) => void): Engine {
  return {
    name: "openai-server",
    async load(model, options) {
      options.signal.throwIfAborted();
      options.onProgress?.(0);
      options.signal.throwIfAborted();
      try {
        const loaded = await start(host, model, options, log);
        options.onProgress?.(1);
        return loaded;
      } catch (error) {
        options.signal.throwIfAborted();
        throw failureToLoad(error, log);
      }
    },
  };
}

async function start(
  host: ServerHost,
  model: LocalModel,
  options: LoadOptions,
  log: (line: string) => void,
): Promise<LoadedModel> {
  const loaded = new LoadedOnServer(model, options, await host.hold(model, options));
  try {
    await loaded.warm(options.signal);
    return loaded;
  } catch (error) {
    await loaded.unload().catch((cause: unknown) => log(`unload failed: ${reasonOf(cause)}`));
    throw error;
  }
}

const IGNORE: EmitAnswerEvent = () => undefined;

class LoadedOnServer implements LoadedModel {
  readonly model: LocalModel;
  readonly slots: number;
  readonly contextTokens: number | null;
  readonly died: Promise<EngineError>;
  readonly #server: HeldServer;
  /** Aborted when the model is gone, with the error that its runs end with. */
  readonly #gone = new AbortController();
  #running = 0;
  /** A server may load the model with the first request, and answer nothing meanwhile. */
  #isWarm = false;

  constructor(model: LocalModel, { slots, contextTokens }: LoadOptions, server: HeldServer) {
    this.model = model;
    this.slots = slots;
    const least = Math.min(contextTokens ?? Infinity, server.contextTokens ?? Infinity);
    this.contextTokens = least === Infinity ? null : least;
    this.#server = server;
    this.died = server.died.then((error) => {
      this.#gone.abort(error);
      return error;
    });
    server.watch(() => this.#isWarm && this.#running === 0);
  }

  /**
   * One token, or one vector of a model that does not chat: what is wrong with the server's model shows here, and not with
   * the first client.
   */
  async warm(signal: AbortSignal): Promise<void> {
    const stop = AbortSignal.any([signal, this.#gone.signal]);
    const chat = { messages: [{ role: "user", content: "Hi" }], max_tokens: 1 };
    try {
      await this.#ask({ task: "chat", body: chat }, IGNORE, stop);
    } catch (error) {
      const { class: errorClass } = asEngineError(error, "load_failed");
      const mayEmbed = errorClass === "client";
      if (!mayEmbed || !(await this.#embeds(stop))) throw error;
    }
    signal.throwIfAborted();
    this.#gone.signal.throwIfAborted();
    this.#isWarm = true;
  }

  async run(request: EngineRequest, emit: EmitAnswerEvent, signal: AbortSignal): Promise<RunResult> {
    this.#gone.signal.throwIfAborted();
    if (this.#running >= this.slots) {
      throw new EngineError("capacity", "no_free_slot", "all slots of the model are busy");
    }
    this.#running += 1;
    try {
      const result = await this.#ask(request, emit, AbortSignal.any([signal, this.#gone.signal]));
      this.#gone.signal.throwIfAborted();
      return result;
    } finally {
      this.#running -= 1;
      if (this.#running === 0 && !this.#gone.signal.aborted) this.#server.onIdle();
    }
  }

  async prepareEmbeddings(): Promise<void> {
    this.#gone.signal.throwIfAborted();
  }

  async unload(): Promise<void> {
    this.#gone.abort(new EngineError("fault", "unloaded", "the model was unloaded"));
    await this.#server.release();
  }

  async #ask({ task, body }: EngineRequest, emit: EmitAnswerEvent, stop: AbortSignal): Promise<RunResult> {
    const { endpoint, modelName } = this.#server;
    const run = task === "chat" ? runChat : runEmbeddings;
    try {
      return await run(endpoint, modelName, body, emit, stop);
    } catch (error) {
      if (error instanceof EngineError && error.code === UNREACHABLE) void this.#server.onUnreachable();
      throw error;
    }
  }

  async #embeds(stop: AbortSignal): Promise<boolean> {
    try {
      await this.#ask({ task: "embeddings", body: { input: "Hi" } }, IGNORE, stop);
      return true;
    } catch {
      return false;
    }
  }
}
