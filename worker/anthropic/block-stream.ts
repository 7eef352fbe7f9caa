import type { AnswerPiece } from "../openai/answer-reader.ts";
import { type Block, encodeDelta, encodeStart, isWholeInput } from "./message-blocks.ts";
import { encodeEvent } from "./message-event.ts";

/** A block that is not at its end. */
interface GrowingBlock {
  readonly block: Block;
  unsent: string;
  isStarted: boolean;
  /** Whether the input of a call was looked at for its end. */
  isChecked: boolean;
}

/**
 * The events of a message's blocks. The API has one block open at a time, while machines may write several calls at
 * once: the first block is sent as it grows, and those behind it wait until it is at its end. A call's end is seen when
 * the next block begins; if its input is not whole by then, calls are written side by side, and it stays open until the
 * end of all.
 */
export class BlockStream {
  /** The open one first. */
  readonly #growing = new Map<Block, GrowingBlock>();
  /** Of the block that is open, or of the next one. */
  #index = 0;

  /** @throws TypeError for a call that grows behind its end */
  write(pieces: readonly AnswerPiece<Block>[]): string {
    for (const { item: block, isFirst, text } of pieces) {
      if (isFirst) this.#growing.set(block, { block, unsent: "", isStarted: false, isChecked: false });
      const growing = this.#growing.get(block);
      if (growing === undefined) {
        if (text.trim() !== "") throw new TypeError("a call grows behind its end");
        continue;
      }
      // Nothing else is looked at again.
      if (block.kind === "tool_use") block.text += text;
      growing.unsent += text;
    }
    return this.#advance();
  }

  end(): string {
    let events = "";
    for (const growing of this.#growing.values()) events += this.#send(growing) + this.#close(growing);
    return events;
  }

  #advance(): string {
    let events = "";
    for (;;) {
      const [first, next] = this.#growing.values();
      if (first === undefined) return events;
      events += this.#send(first);
      if (next === undefined || !isAtEnd(first)) return events;
      events += this.#close(first);
      this.#growing.delete(first.block);
    }
  }

  #send(growing: GrowingBlock): string {
    const { block, unsent, isStarted } = growing;
    const index = this.#index;
    let events = "";
    if (!isStarted)
      events += encodeEvent("content_block_start", { index, content_block: encodeStart(block) });
    if (unsent !== "")
      events += encodeEvent("content_block_delta", { index, delta: encodeDelta(block, unsent) });
    growing.isStarted = true;
    growing.unsent = "";
    return events;
  }

  #close({ block }: GrowingBlock): string {
    const index = this.#index;
    this.#index += 1;
    const signature = { type: "signature_delta", signature: "" };
    const signed =
      block.kind === "thinking" ? encodeEvent("content_block_delta", { index, delta: signature }) : "";
    return signed + encodeEvent("content_block_stop", { index });
  }
}

/** Of a block behind which another one has begun. Texts are then; an input is read once, as it may be long. */
function isAtEnd(growing: GrowingBlock): boolean {
  if (growing.block.kind !== "tool_use") return true;
  if (growing.isChecked) return false;
  growing.isChecked = true;
  return isWholeInput(growing.block.text);
}
