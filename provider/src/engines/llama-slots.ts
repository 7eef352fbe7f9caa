import type { LlamaContext, LlamaContextSequence, Token } from "node-llama-cpp";

/**
 * The slots of a loaded model: sequences of one context that are decoded together, each with the KV cache of the
 * conversation it served last. A request goes to the slot that holds the beginning of its prompt.
 */

/** Sees each token of a slot before and after it is drawn. */
export interface TokenWatch {
  /** The next token is drawn when this has resolved; rejecting ends the generation with that error. */
  beforeToken(): Promise<void>;
  onToken(token: Token): void;
}

export class LlamaSlot {
  readonly sequence: LlamaContextSequence;
  /** Counts requests, not time: higher is more recent. */
  lastUse = 0;
  busy = false;
  watch: TokenWatch | null = null;

  constructor(sequence: LlamaContextSequence) {
    this.sequence = sequence;
    // LlamaChat draws its tokens from `sequence.evaluate` and reports them by callbacks that cannot be waited for.
    // Standing in between is the one place where generation can be held, and where every token is seen: those of
    // thoughts, of function calls and of the end too, which the callbacks leave out.
    const draw = sequence.evaluate.bind(sequence);
    sequence.evaluate = (tokens, options) => this.#watched(draw(tokens, options));
  }

  async *#watched(
    source: AsyncGenerator<Token, void, void | Token | Token[]>,
  ): AsyncGenerator<Token, void, void | Token | Token[]> {
    try {
      let replacement: void | Token | Token[] = undefined;
      for (;;) {
        await this.watch?.beforeToken();
        const next = await source.next(replacement);
        if (next.done === true) return;
        this.watch?.onToken(next.value);
        replacement = yield next.value;
      }
    } finally {
      await source.return();
    }
  }
}

export class SlotPool {
  readonly #slots: readonly LlamaSlot[];
  #uses = 0;

  constructor(context: LlamaContext) {
    // All sequences are taken at once and kept: giving one back is asynchronous, and was broken for some models.
    this.#slots = Array.from({ length: context.sequencesLeft }, () => new LlamaSlot(context.getSequence()));
  }

  /**
   * The idle slot whose cache covers the prompt best, if that is at least half of what it holds; else the one unused
   * longest. By the longest match alone all conversations would pile up on one slot, since every prompt begins with
   * the same tokens of the template.
   * @returns null if all slots are busy.
   */
  take(prompt: Token[]): LlamaSlot | null {
    let oldest: LlamaSlot | null = null;
    let best: LlamaSlot | null = null;
    let longest = 0;
    for (const slot of this.#slots) {
      if (slot.busy) continue;
      if (oldest === null || slot.lastUse < oldest.lastUse) oldest = slot;
      const shared = slot.sequence.compareContextTokens(prompt).firstDifferentIndex;
      if (shared > longest && shared * 2 >= slot.sequence.nextTokenIndex) {
        best = slot;
        longest = shared;
      }
    }
    const slot = best ?? oldest;
    if (slot === null) return null;
    this.#uses += 1;
    slot.lastUse = this.#uses;
    slot.busy = true;
    return slot;
  }

  /** Empties all caches. */
  async forget(): Promise<void> {
    for (const slot of this.#slots) {
      await slot.sequence.clearHistory();
      slot.lastUse = 0;
    }
  }

  giveBack(slot: LlamaSlot): void {
    slot.watch = null;
    slot.busy = false;
  }
}

/**
 * Evaluates a prompt in slices, all but its last token, which the generation itself needs. In one piece the prompt would
 * hold the context's lock to its end: no other slot would get a token meanwhile, and it could not be given up.
 * @returns how many of its tokens were still in the slot's cache.
 * @throws the reason of `signal`, after the slice in hand.
 */
export async function prefill(
  sequence: LlamaContextSequence,
  prompt: Token[],
  sliceTokens: number,
  signal: AbortSignal,
): Promise<number> {
  const target = prompt.length - 1;
  await sequence.adaptStateToTokens(prompt.slice(0, target), false);
  const cachedTokens = sequence.nextTokenIndex;
  for (let from = cachedTokens; from < target; from += sliceTokens) {
    signal.throwIfAborted();
    await sequence.evaluateWithoutGeneratingNewTokens(
      prompt.slice(from, Math.min(from + sliceTokens, target)),
    );
    await new Promise(setImmediate);
  }
  signal.throwIfAborted();
  return cachedTokens;
}
