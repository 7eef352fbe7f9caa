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

/** Written one after the other. A turn may have very many calls, so nothing is searched or copied. */
export class ChatMessages {
  readonly list: ChatMessage[] = [];
  readonly #callIds = new Set<string>();

  /** What is said between calls goes before them: chat wants their results right behind. */
  say(role: string, content: string): void {
    const last = this.list.at(-1);
    if (role !== "assistant" || last?.tool_calls === undefined) this.list.push({ role, content });
    else last.content = last.content === null ? content : `${last.content}\n${content}`;
  }

  /** Chat wants the calls that were made together, and the text before them, in one message. */
  call(id: string, name: string, args: string): void {
    this.#callIds.add(id);
    const call = { id, type: "function", function: { name, arguments: args } } as const;
    const last = this.list.at(-1);
    if (last?.role !== "assistant") this.list.push({ role: "assistant", content: null, tool_calls: [call] });
    else if (last.tool_calls === undefined) last.tool_calls = [call];
    else last.tool_calls.push(call);
  }

  /** Whether a call that was written has this id. */
  hasCall(id: string): boolean {
    return this.#callIds.has(id);
  }

  /** What came of a call. */
  answer(callId: string, content: string): void {
    this.list.push({ role: "tool", tool_call_id: callId, content });
  }
}
