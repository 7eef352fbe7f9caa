import { type ChatWrapper, HarmonyChatWrapper } from "node-llama-cpp";

/**
 * `reasoning_effort` of a request: gpt-oss reads it from its system message, which its wrapper writes. Other templates
 * have no such thing.
 */
export function withReasoningEffort(wrapper: ChatWrapper, effort: string | null): ChatWrapper {
  if (effort === null || !(wrapper instanceof HarmonyChatWrapper)) return wrapper;
  return new HarmonyChatWrapper({
    modelIdentity: wrapper.modelIdentity,
    cuttingKnowledgeDate: wrapper.cuttingKnowledgeDate ?? null,
    todayDate: wrapper.todayDate,
    requiredChannels: wrapper.requiredChannels,
    keepOnlyLastThought: wrapper.keepOnlyLastThought,
    reasoningEffort: EFFORTS.get(effort) ?? "low",
  });
}

/** The model knows three. Whatever is less than `medium` to a client is `low`. */
const EFFORTS: ReadonlyMap<string, "medium" | "high"> = new Map([
  ["medium", "medium"],
  ["high", "high"],
  ["xhigh", "high"],
  ["max", "high"],
]);
