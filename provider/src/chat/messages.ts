import { z } from "zod";

import { invalidRequest, parse, unsupported } from "../request-errors.ts";
import { type JsonValue, jsonValueSchema } from "../schema/json-value.ts";

/**
 * The `messages` of a request, checked and put into the shape engines want: plain text per turn, and each tool call
 * of the assistant together with its result. OpenAI sends the results as separate messages that name the call.
 */

export type ChatTurn =
  | { readonly role: "system"; readonly text: string }
  | { readonly role: "user"; readonly text: string }
  | { readonly role: "assistant"; readonly text: string; readonly calls: readonly AnsweredCall[] };

interface AnsweredCall {
  readonly name: string;
  readonly args: JsonValue;
  readonly result: JsonValue;
}

const partSchema = z.object({
  type: z.string(),
  // Clients that give an answer's part back may name the field that it does not have.
  text: z.string().nullish(),
  refusal: z.string().nullish(),
});
const contentSchema = z.union(
  [z.string(), z.array(partSchema)],
  "must be a string or a list of content parts",
);
const callSchema = z.object({
  id: z.string(),
  function: z.object({ name: z.string(), arguments: z.string() }),
});
const messageSchema = z.discriminatedUnion("role", [
  z.object({ role: z.enum(["system", "developer"]), content: contentSchema }),
  z.object({ role: z.literal("user"), content: contentSchema }),
  z.object({
    role: z.literal("assistant"),
    content: contentSchema.nullish(),
    tool_calls: z.array(callSchema).nullish(),
  }),
  z.object({ role: z.literal("tool"), content: contentSchema, tool_call_id: z.string() }),
]);
const messagesSchema = z.array(messageSchema).min(1);

type Message = z.infer<typeof messageSchema>;

/** @throws EngineError `invalid_request` or `unsupported`, naming the message at fault. */
export function parseMessages(messages: unknown): ChatTurn[] {
  const { messages: parsed } = parse(z.object({ messages: messagesSchema }), { messages });
  const turns: ChatTurn[] = [];
  for (let at = 0; at < parsed.length; at += 1) {
    const message = parsed[at];
    if (message === undefined) break;
    switch (message.role) {
      case "system":
      case "developer":
        turns.push({ role: "system", text: textOf(message.content, at) });
        break;
      case "user":
        turns.push({ role: "user", text: textOf(message.content, at) });
        break;
      case "assistant": {
        const calls = answeredCalls(parsed, at);
        turns.push({ role: "assistant", text: textOf(message.content ?? "", at), calls });
        at += calls.length;
        break;
      }
      case "tool":
        throw invalidRequest(
          `messages[${at}]: a "tool" message must follow the assistant's tool_calls it answers`,
        );
    }
  }
  return turns;
}

/** Pairs the calls of the assistant message at `at` with the tool messages right after it. */
function answeredCalls(messages: readonly Message[], at: number): AnsweredCall[] {
  const message = messages[at];
  if (message?.role !== "assistant") return [];
  const calls = message.tool_calls ?? [];
  // Ids are not always unique: calls of the same id have their results in the same order.
  const results = new Map<string, string[]>();
  for (const [index, answer] of messages.slice(at + 1, at + 1 + calls.length).entries()) {
    if (answer.role !== "tool") break;
    const result = textOf(answer.content, at + 1 + index);
    const same = results.get(answer.tool_call_id);
    if (same === undefined) results.set(answer.tool_call_id, [result]);
    else same.push(result);
  }
  // Taken from the end, since each one taken from the beginning moves all others.
  for (const same of results.values()) same.reverse();
  return calls.map((call) => {
    const result = results.get(call.id)?.pop();
    if (result === undefined) {
      throw invalidRequest(
        `messages[${at}]: all tool_calls must be answered by "tool" messages after it; "${call.id}" is not answered`,
      );
    }
    return {
      name: call.function.name,
      args: jsonOrText(call.function.arguments),
      result: jsonOrText(result),
    };
  });
}

function textOf(content: z.infer<typeof contentSchema>, at: number): string {
  if (typeof content === "string") return content;
  return content
    .map((part) => {
      if (part.type === "text" && part.text != null) return part.text;
      if (part.type === "refusal" && part.refusal != null) return part.refusal;
      throw unsupported(`messages[${at}].content: parts of type "${part.type}" are not supported, only text`);
    })
    .join("");
}

/**
 * Arguments and results are mostly JSON, and templates print them as such. Text that is not JSON stays text: a
 * call that was cut off by a token limit comes back this way, and is no reason to refuse the conversation.
 */
function jsonOrText(text: string): JsonValue {
  const trimmed = text.trim();
  if (trimmed === "") return {};
  if (!/^[[{]/.test(trimmed)) return text;
  try {
    return jsonValueSchema.parse(JSON.parse(trimmed));
  } catch {
    return text;
  }
}
