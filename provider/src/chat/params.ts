import { z } from "zod";

import { invalidRequest, parse, unsupported } from "../request-errors.ts";

/**
 * How to sample and when to stop: the fields of a request that say nothing about its meaning. Fields that are unknown
 * here are ignored, as agents send many; those are refused whose absence in the answer would break the caller.
 */

export interface ChatParams {
  /** The caller's limit on the tokens of the answer; null = what the context leaves. */
  readonly maxTokens: number | null;
  readonly temperature: number;
  readonly topP: number;
  /** 0 = no limit on the candidates. */
  readonly topK: number;
  readonly minP: number;
  readonly seed: number | null;
  readonly stop: readonly string[];
  readonly frequencyPenalty: number;
  readonly presencePenalty: number;
  /** 1 = none. Not OpenAI's; llama-server and vLLM take it under the same name. */
  readonly repeatPenalty: number;
  readonly reasoningEffort: string | null;
  /** GBNF that the answer must follow, as llama-server takes it. */
  readonly grammar: string | null;
}

/** Longer ones take long to compile and are a way to keep a machine busy. */
const MAX_GRAMMAR_CHARS = 16_384;
/** The compiler recurses once per bracket, in native code, where running out of stack ends the process. */
const MAX_GRAMMAR_BRACKETS = 64;

const tokenCount = z.int().min(1).max(10_000_000);
const stopText = z.string().min(1).max(256);

const paramsSchema = z.object({
  max_tokens: tokenCount.nullish(),
  max_completion_tokens: tokenCount.nullish(),
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().min(0).max(1).nullish(),
  top_k: z.int().min(-1).max(1_000_000).nullish(),
  min_p: z.number().min(0).max(1).nullish(),
  seed: z.int().nullish(),
  stop: z
    .union([stopText, z.array(stopText).max(4)], "must be a string or a list of at most 4 strings")
    .nullish(),
  frequency_penalty: z.number().min(-2).max(2).nullish(),
  presence_penalty: z.number().min(-2).max(2).nullish(),
  repeat_penalty: z.number().min(0.01).max(10).nullish(),
  reasoning_effort: z.enum(["none", "minimal", "low", "medium", "high", "xhigh", "max"]).nullish(),
  grammar: z.string().max(MAX_GRAMMAR_CHARS).nullish(),
  n: z.int().nullish(),
  logprobs: z.boolean().nullish(),
  top_logprobs: z.int().nullish(),
  modalities: z.array(z.string()).nullish(),
  logit_bias: z.record(z.string(), z.number()).nullish(),
});

/** @throws EngineError `invalid_request` or `unsupported`, naming the field. */
export function parseParams(body: Readonly<Record<string, unknown>>): ChatParams {
  const fields = parse(paramsSchema, body);
  if ((fields.n ?? 1) !== 1) throw unsupported("n: only one choice per request is supported");
  if (fields.logprobs === true) throw unsupported("logprobs: log probabilities are not supported");
  if ((fields.top_logprobs ?? 0) > 0) throw unsupported("top_logprobs: log probabilities are not supported");
  if (fields.modalities?.some((one) => one !== "text") === true)
    throw unsupported("modalities: only text is supported");
  if (Object.keys(fields.logit_bias ?? {}).length > 0) throw unsupported("logit_bias: is not supported");
  return {
    // The newer name wins where a client sends both.
    maxTokens: fields.max_completion_tokens ?? fields.max_tokens ?? null,
    temperature: fields.temperature ?? 1,
    topP: fields.top_p ?? 1,
    topK: Math.max(0, fields.top_k ?? 0),
    minP: fields.min_p ?? 0,
    seed: fields.seed ?? null,
    stop: typeof fields.stop === "string" ? [fields.stop] : (fields.stop ?? []),
    frequencyPenalty: fields.frequency_penalty ?? 0,
    presencePenalty: fields.presence_penalty ?? 0,
    repeatPenalty: fields.repeat_penalty ?? 1,
    reasoningEffort: fields.reasoning_effort ?? null,
    grammar: checkGrammar(fields.grammar ?? null),
  };
}

function checkGrammar(grammar: string | null): string | null {
  if (grammar === null || grammar.trim() === "") return null;
  let open = 0;
  for (const char of grammar) {
    if (char === "(") open += 1;
    else if (char === ")") open -= 1;
    if (open > MAX_GRAMMAR_BRACKETS) throw invalidRequest("grammar: brackets are nested too deeply");
  }
  return grammar;
}
