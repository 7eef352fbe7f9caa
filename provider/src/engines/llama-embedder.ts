import {
  InsufficientMemoryError,
  type LlamaEmbeddingContext,
  type LlamaModel,
  type Token,
} from "node-llama-cpp";

import { type EmbeddingInput, normalized, parseInputs } from "../embeddings.ts";
import { type EmbeddingEvent, EngineError, type RunResult } from "../engine.ts";
import { invalidRequest, textTooLong, unsupported } from "../request-errors.ts";
import { settledOrAborted } from "./abortable.ts";
import { MAX_CHARS_PER_TOKEN, type RunControl } from "./llama-host.ts";
import { factsOf, readsInOnePiece } from "./model-purpose.ts";
import { toRunError } from "./run-error.ts";

/**
 * Makes vectors of texts on a loaded model. All requests share one context, which reads one text at a time, and take turns
 * by text: so a single question does not wait for a long list. A chat model gets this context with its first request
 * for vectors, since most are never asked for any.
 */

export interface EmbedderOptions {
  /** Requests at once. */
  readonly slots: number;
  /** The longest text, in tokens. */
  readonly contextTokens: number;
  /** CPU threads; null = the library's choice. */
  readonly threads: number | null;
  /** Tokens read in one piece, where the model lets a text be cut. */
  readonly batchTokens: number;
}

export class LlamaEmbedder {
  readonly #model: LlamaModel;
  readonly #options: EmbedderOptions;
  #context: Promise<LlamaEmbeddingContext> | null = null;
  #running = 0;

  constructor(model: LlamaModel, options: EmbedderOptions) {
    this.#model = model;
    this.#options = options;
  }

  /**
   * Takes the memory that it needs, if it has not yet. It goes with the model's.
   * @throws EngineError `insufficient_memory`, or what the library throws.
   */
  async prepare(): Promise<void> {
    // Else its requests will hear why.
    if (this.#makesVectors()) await this.#open();
  }

  #open(): Promise<LlamaEmbeddingContext> {
    this.#context ??= this.#create().catch((error: unknown) => {
      this.#context = null;
      if (!(error instanceof InsufficientMemoryError)) throw error;
      throw new EngineError("capacity", "insufficient_memory", "no memory is left for embeddings");
    });
    return this.#context;
  }

  /**
   * @returns also when `signal` was aborted. The text in hand is then read to its end, for nobody.
   * @throws EngineError
   */
  async run(
    body: Readonly<Record<string, unknown>>,
    control: RunControl<EmbeddingEvent>,
  ): Promise<RunResult> {
    if (this.#running >= this.#options.slots) {
      throw new EngineError("capacity", "no_free_slot", "all slots of the model are busy");
    }
    const startedAt = performance.now();
    let promptTokens = 0;
    this.#running += 1;
    try {
      promptTokens = await this.#embed(this.#parse(body), control);
    } catch (error) {
      if (!control.signal.aborted) throw toRunError(error, "embedding_failed", "embedding");
    } finally {
      this.#running -= 1;
    }
    return {
      finishReason: control.signal.aborted ? "cancelled" : "stop",
      usage: { promptTokens, completionTokens: 0, cachedTokens: 0 },
      prefillMs: performance.now() - startedAt,
      decodeMs: 0,
    };
  }

  #makesVectors(): boolean {
    const { hasEncoder, hasDecoder } = this.#model.fileInsights;
    return !(hasEncoder && hasDecoder);
  }

  #parse(body: Readonly<Record<string, unknown>>): EmbeddingInput[] {
    if (!this.#makesVectors()) {
      throw unsupported("model: this model translates text into text and makes no vectors");
    }
    return parseInputs(body, this.#model.embeddingVectorSize);
  }

  /** @returns how many tokens the texts take together. */
  async #embed(inputs: readonly EmbeddingInput[], control: RunControl<EmbeddingEvent>): Promise<number> {
    const context = await this.#open();
    const { texts, tokens } = await this.#tokenize(inputs, context, control.signal);
    for (const [index, text] of texts.entries()) {
      await control.mayGoOn();
      control.signal.throwIfAborted();
      const embedding = context.getEmbeddingFor(text);
      await settledOrAborted(embedding, control.signal);
      control.signal.throwIfAborted();
      const vector = normalized((await embedding).vector);
      if (vector === null) {
        throw new EngineError(
          "fault",
          "embedding_failed",
          "the model made a vector of no length: damaged weights?",
        );
      }
      control.emit({ type: "embedding", index, vector });
    }
    return tokens;
  }

  /** All of them before the first one is read, so that a list is refused as a whole. */
  async #tokenize(
    inputs: readonly EmbeddingInput[],
    context: LlamaEmbeddingContext,
    signal: AbortSignal,
  ): Promise<{ readonly texts: Token[][]; readonly tokens: number }> {
    const { contextTokens } = this.#options;
    const texts: Token[][] = [];
    let sum = 0;
    for (const { text, name } of inputs) {
      if (text.length > contextTokens * MAX_CHARS_PER_TOKEN) throw textTooLong(name, null, contextTokens);
      const read = this.#model.tokenize(text);
      // With those that the model wants at the beginning and at the end.
      const tokens = context.calculateInputLength(read);
      if (tokens > contextTokens) throw textTooLong(name, tokens, contextTokens);
      if (read.length === 0) throw invalidRequest(`${name}: has nothing in it that this model can read`);
      texts.push(read);
      sum += tokens;
      // Other requests go on meanwhile.
      await new Promise(setImmediate);
      signal.throwIfAborted();
    }
    return { texts, tokens: sum };
  }

  #create(): Promise<LlamaEmbeddingContext> {
    const { contextTokens, threads, batchTokens } = this.#options;
    return this.#model.createEmbeddingContext({
      // The library wants room for one token more than it reads.
      contextSize: contextTokens + 1,
      batchSize: readsInOnePiece(factsOf(this.#model)) ? contextTokens : Math.min(batchTokens, contextTokens),
      // 0 = as many as the machine has for this.
      threads: threads ?? 0,
    });
  }
}
