import type { ChatHistoryItem } from "node-llama-cpp";

import type { ChatTurn } from "./chat-messages.ts";
import type { AnswerForm, ChatTool } from "./chat-tools.ts";
import { forcedCallPrefix } from "./schema-grammar.ts";

/**
 * A conversation as node-llama-cpp's chat wrappers render it. The last item is the answer to be written. It is a new,
 * empty one, except after the results of tool calls: templates put those inside the model's turn, which then goes on.
 */
export function toHistory(turns: readonly ChatTurn[], form: AnswerForm): ChatHistoryItem[] {
  const history: ChatHistoryItem[] = [];
  if (form.type === "forced_tool") history.push({ type: "system", text: describeForcedTools(form.tools) });
  let callsAreOpen = false;
  for (const turn of turns) {
    if (turn.role !== "assistant") {
      history.push({ type: turn.role, text: turn.text });
      callsAreOpen = false;
      continue;
    }
    const calls = turn.calls.map((call, index) => ({
      type: "functionCall" as const,
      name: call.name,
      params: call.args,
      result: call.result,
      startsNewChunk: index === 0,
    }));
    const parts = [...(turn.text === "" ? [] : [turn.text]), ...calls];
    const last = history.at(-1);
    if (callsAreOpen && last?.type === "model") last.response.push(...parts);
    else history.push({ type: "model", response: parts });
    callsAreOpen = calls.length > 0;
  }
  if (!callsAreOpen) history.push({ type: "model", response: [] });
  return history;
}

/**
 * The library documents functions only where it also detects calls by itself, which excludes a grammar. A forced call
 * needs the grammar, so this text tells the model what it may call and in what form.
 */
function describeForcedTools(tools: readonly ChatTool[]): string {
  const lines = tools.map((tool) =>
    JSON.stringify({ name: tool.name, description: tool.description, parameters: tool.rawParameters }),
  );
  const form = `${forcedCallPrefix("function name")}{...}}`;
  return `Answer by calling one of these functions. The whole answer is one JSON object: ${form}\n${lines.join("\n")}`;
}
