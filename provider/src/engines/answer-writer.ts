import type { LlamaChatResponseChunk, LlamaChatResponseFunctionCallParamsChunk } from "node-llama-cpp";

import type { AnswerForm, ChatTool } from "../chat/answer-form.ts";
import type { ChatEvent } from "../engine.ts";
import { jsonValueSchema } from "../schema/json-value.ts";
import { CALL_MARK, forcedCallPrefix } from "../schema/schema-grammar.ts";
import { hasOptionalProperties, withoutAbsent } from "./llama-functions.ts";

/** Turns what LlamaChat reports while it generates into the events of an answer. */

export interface AnswerWriter {
  text(chunk: LlamaChatResponseChunk): void;
  /** A piece of the arguments of a call the model made of its own accord. */
  callText(chunk: LlamaChatResponseFunctionCallParamsChunk): void;
  /** Such a call is finished. */
  call(name: string, args: unknown): void;
  /**
   * @param complete false if the answer was cut off.
   * @returns whether the answer was a call that a grammar held in form
   */
  end(complete: boolean): boolean;
}

export type NewCallId = () => string;

export function createAnswerWriter(
  form: AnswerForm,
  newCallId: NewCallId,
  emit: (event: ChatEvent) => void,
): AnswerWriter {
  const content =
    form.type === "forced_tool"
      ? new CallText(form.tools, newCallId, emit)
      : form.type === "json_or_tool"
        ? new JsonOrCallText(new CallText(form.tools, newCallId, emit), emit)
        : { write: (text: string) => emit({ type: "content", text }), end: () => false };
  const calls = new FunctionCalls(form.type === "tools" ? form.tools : [], newCallId, emit);
  let thought = false;
  return {
    text(chunk) {
      if (chunk.type === "segment") {
        thought = true;
        if (chunk.text !== "") emit({ type: "reasoning", text: chunk.text });
        return;
      }
      // The line breaks between thoughts and answer belong to the template.
      const text = thought ? chunk.text.trimStart() : chunk.text;
      if (text === "") return;
      thought = false;
      content.write(text);
    },
    callText: (chunk) => calls.write(chunk),
    call: (name, args) => calls.finish(name, args),
    end: (complete) => content.end(complete),
  };
}

/** An answer that follows `jsonOrCallGrammar`: what comes behind the mark is a call. */
class JsonOrCallText {
  readonly #call: CallText;
  readonly #emit: (event: ChatEvent) => void;
  /** The beginning, until it says what the answer is. */
  #waiting: string | null = "";
  #isCall = false;

  constructor(call: CallText, emit: (event: ChatEvent) => void) {
    this.#call = call;
    this.#emit = emit;
  }

  write(piece: string): void {
    let text = piece;
    if (this.#waiting !== null) {
      text = this.#waiting + piece;
      this.#waiting = CALL_MARK.startsWith(text) ? text : null;
      if (this.#waiting !== null) return;
      this.#isCall = text.startsWith(CALL_MARK);
      if (this.#isCall) text = text.slice(CALL_MARK.length);
    }
    if (this.#isCall) this.#call.write(text);
    else this.#emit({ type: "content", text });
  }

  end(complete: boolean): boolean {
    return this.#isCall && this.#call.end(complete);
  }
}

/** An answer that follows `forcedCallGrammar`: the arguments begin where the known prefix ends. */
class CallText {
  readonly #tools: readonly ChatTool[];
  readonly #newCallId: NewCallId;
  readonly #emit: (event: ChatEvent) => void;
  #waiting = "";
  #started = false;

  constructor(tools: readonly ChatTool[], newCallId: NewCallId, emit: (event: ChatEvent) => void) {
    this.#tools = tools;
    this.#newCallId = newCallId;
    this.#emit = emit;
  }

  write(text: string): void {
    this.#waiting += text;
    if (!this.#started) {
      const tool = this.#tools.find(({ name }) => this.#waiting.startsWith(forcedCallPrefix(name)));
      if (tool === undefined) return;
      this.#started = true;
      this.#waiting = this.#waiting.slice(forcedCallPrefix(tool.name).length);
      this.#emit({ type: "tool_call", index: 0, id: this.#newCallId(), name: tool.name });
    }
    // A closing brace may be the last one, which belongs to the call and not to its arguments.
    const ready = this.#waiting.endsWith("}") ? this.#waiting.length - 1 : this.#waiting.length;
    this.#emitArguments(this.#waiting.slice(0, ready));
    this.#waiting = this.#waiting.slice(ready);
  }

  end(complete: boolean): boolean {
    if (this.#started && !complete) this.#emitArguments(this.#waiting);
    this.#waiting = "";
    return true;
  }

  #emitArguments(text: string): void {
    if (text !== "") this.#emit({ type: "tool_arguments", index: 0, text });
  }
}

/**
 * Calls that LlamaChat found in the answer. Their arguments are passed on as they are written, unless nulls may have to
 * be taken out of them: then they follow in one piece.
 */
class FunctionCalls {
  readonly #tools: ReadonlyMap<string, ChatTool>;
  readonly #newCallId: NewCallId;
  readonly #emit: (event: ChatEvent) => void;
  #finished = 0;
  #started = false;
  /** Blanks at the end of a chunk: after the last one come line breaks that belong to the library's grammar. */
  #blanks = "";

  constructor(tools: readonly ChatTool[], newCallId: NewCallId, emit: (event: ChatEvent) => void) {
    this.#tools = new Map(tools.map((tool) => [tool.name, tool]));
    this.#newCallId = newCallId;
    this.#emit = emit;
  }

  write(chunk: LlamaChatResponseFunctionCallParamsChunk): void {
    const tool = this.#tools.get(chunk.functionName);
    if (tool === undefined || hasOptionalProperties(tool.parameters)) return;
    this.#start(tool.name);
    const text = this.#blanks + chunk.paramsChunk;
    const solid = text.trimEnd();
    this.#blanks = text.slice(solid.length);
    if (solid !== "") this.#emit({ type: "tool_arguments", index: this.#finished, text: solid });
  }

  finish(name: string, args: unknown): void {
    const tool = this.#tools.get(name);
    if (tool === undefined) return;
    if (!this.#started) {
      this.#start(name);
      const value = jsonValueSchema.parse(args ?? {});
      const text = JSON.stringify(withoutAbsent(value, tool.parameters));
      this.#emit({ type: "tool_arguments", index: this.#finished, text });
    }
    this.#finished += 1;
    this.#started = false;
    this.#blanks = "";
  }

  #start(name: string): void {
    if (this.#started) return;
    this.#started = true;
    this.#emit({ type: "tool_call", index: this.#finished, id: this.#newCallId(), name });
  }
}
