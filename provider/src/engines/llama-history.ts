import type { ChatHistoryItem } from "node-llama-cpp";

import type { AnswerForm } from "../chat/answer-form.ts";
import type { ChatTurn } from "../chat/messages.ts";
import { CALL_MARK, forcedCallPrefix } from "../schema/schema-grammar.ts";

/**
 * A conversation as node-llama-cpp's chat wrappers render it. The last item is the answer to be written. It is a new,
 * empty one, except after the results of tool calls: templates put those inside the model's turn, which then goes on.
 */
export function toHistory(turns: readonly ChatTurn[], form: AnswerForm): ChatHistoryItem[] {
  const history: ChatHistoryItem[] = [];
  if (form.type === "forced_tool" || form.type === "json_or_tool") {
    history.push({ type: "system", text: describeTools(form) });
  }
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
 * The library documents functions only where it also detects calls by itself, which excludes a grammar. Where one is
 * needed, this text tells the model what it may call and in what form.
 */
function describeTools({
  type,
  tools,
}: Extract<AnswerForm, { type: "forced_tool" | "json_or_tool" }>): string {
  const call = `${forcedCallPrefix("function name")}{...}}`;
  const how =
    type === "forced_tool"
      ? `Answer by calling one of these functions. The whole answer is one JSON object: ${call}`
      : `You may call one of these functions. Then the whole answer is: ${CALL_MARK}${call} Otherwise it is JSON alone.`;
  const lines = tools.map(({ name, description, rawParameters: parameters }) =>
    JSON.stringify({ name, description, parameters }),
  );
  return [how, ...lines].join("\n");
}
