/** The messages of a chat that is made of another API's conversation. */

/**
 * Stands for an image in what a tool has given. To refuse it would end the conversation, as each later request repeats
 * it; so the model is told that there is something it has not seen.
 */
export const IMAGE_LEFT_OUT = "[An image was left out here: only text can be read.]";

interface ChatMessage {
  readonly role: string;
  content: string | null;
  readonly tool_call_id?: string;
  tool_calls?: ChatCall[];
}

interface ChatCall {
  readonly id: string;
  readonly type: "function";
  readonly function: { readonly name: string; readonly arguments: string };
}

/**
 * Written one after the other. A turn may have very many calls, so nothing is searched or copied.
 *
 * Chat wants the calls that were made together in one message, and all their results right behind it. Elsewhere something may
 * be said in between.
 */
export class ChatMessages {
  readonly #isAnswered: (callId: string) => boolean;
  readonly #list: ChatMessage[] = [];
  readonly #callIds = new Set<string>();
  /** How many calls of an id have no result yet. Ids need not be unique. */
  readonly #waiting = new Map<string, number>();
  /** What was said while calls waited: it follows their results. */
  #held: ChatMessage[] = [];
  /** The calls that were made last. */
  #calls: ChatCall[] = [];

  /** @param isAnswered whether a result of the call comes: nothing waits for one that does not. */
  constructor(isAnswered: (callId: string) => boolean) {
    this.#isAnswered = isAnswered;
  }

  get list(): object[] {
    return [...this.#list, ...this.#held];
  }

  /** What the assistant says between calls goes before them. */
  say(role: string, content: string): void {
    const last = this.#held.at(-1) ?? this.#list.at(-1);
    if (role !== "assistant" || last?.tool_calls === undefined) {
      const said = this.#waiting.size === 0 ? this.#list : this.#held;
      said.push({ role, content });
    } else last.content = last.content === null ? content : `${last.content}\n${content}`;
  }

  call(id: string, name: string, args: string): void {
    if (this.#waiting.size === 0) this.#beginCalls();
    this.#callIds.add(id);
    if (this.#isAnswered(id)) this.#waiting.set(id, (this.#waiting.get(id) ?? 0) + 1);
    this.#calls.push({ id, type: "function", function: { name, arguments: args } });
  }

  /** Whether a call that was written has this id. */
  hasCall(id: string): boolean {
    return this.#callIds.has(id);
  }

  /** What came of a call. */
  answer(callId: string, content: string): void {
    this.#list.push({ role: "tool", tool_call_id: callId, content });
    const others = (this.#waiting.get(callId) ?? 0) - 1;
    if (others > 0) this.#waiting.set(callId, others);
    else this.#waiting.delete(callId);
    if (this.#waiting.size > 0) return;
    for (const message of this.#held) this.#list.push(message);
    this.#held = [];
  }

  /** In the message with the text before them, if there is one. */
  #beginCalls(): void {
    const last = this.#list.at(-1);
    if (last?.role === "assistant") this.#calls = last.tool_calls ??= [];
    else {
      this.#calls = [];
      this.#list.push({ role: "assistant", content: null, tool_calls: this.#calls });
    }
  }
}
