import { randomInt, randomUUID } from "node:crypto";

import {
  type ChatHistoryItem,
  type ChatModelFunctions,
  type ChatWrapper,
  LlamaChat,
  type LlamaChatResponse,
  type LLamaChatGenerateResponseOptions,
  type LlamaGrammar,
  type LlamaText,
  type Token,
} from "node-llama-cpp";

import { type AnswerForm, parseAnswerForm } from "../chat/answer-form.ts";
import { type ChatTurn, parseMessages } from "../chat/messages.ts";
import { type ChatParams, parseParams } from "../chat/params.ts";
import { type ChatEvent, type RunResult, EngineError } from "../engine.ts";
import { reasonOf } from "../reason.ts";
import { contextLengthExceeded, invalidRequest } from "../request-errors.ts";
import { forcedCallGrammar, jsonOrCallGrammar, schemaGrammar } from "../schema/schema-grammar.ts";
import { type AnswerWriter, createAnswerWriter } from "./answer-writer.ts";
import { toFunctions } from "./llama-functions.ts";
import { toHistory } from "./llama-history.ts";
import { type ChatHost, MAX_CHARS_PER_TOKEN, type RunControl } from "./llama-host.ts";
import { type LlamaSlot, prefill } from "./llama-slots.ts";
import { withReasoningEffort } from "./reasoning-effort.ts";
import { toRunError } from "./run-error.ts";

/** One chat completion on a loaded model: read the request, evaluate the prompt, write the answer. */

/** It may go on before each token. */
type ChatControl = RunControl<ChatEvent>;

/** Tokens the library may put in by itself around a call that the model makes of its own accord. */
const FUNCTION_RESERVE_TOKENS = 64;

/** Compiling a longer one would hold up the streams of all other slots. */
const MAX_GENERATED_GRAMMAR_CHARS = 1_000_000;

interface Prepared {
  readonly params: ChatParams;
  readonly form: AnswerForm;
  readonly history: ChatHistoryItem[];
  readonly functions: ChatModelFunctions | null;
  readonly grammar: LlamaGrammar | null;
  readonly chatWrapper: ChatWrapper;
  /** Exactly what will be evaluated. */
  readonly prompt: Token[];
  /** The most tokens the answer may take without pushing its own prompt out of the context. */
  readonly maxTokens: number;
}

/**
 * @returns also when `signal` was aborted, with what was used until then.
 * @throws EngineError
 */
export async function runChat(
  host: ChatHost,
  body: Readonly<Record<string, unknown>>,
  control: ChatControl,
): Promise<RunResult> {
  const prepared = await prepare(host, body);
  const slot = host.slots.take(prepared.prompt);
  if (slot === null) throw new EngineError("capacity", "no_free_slot", "all slots of the model are busy");
  const meter = new Meter(host, slot, control);
  try {
    meter.cachedTokens = await prefill(slot.sequence, prepared.prompt, host.sliceTokens, control.signal);
    slot.watch = meter;
    const finishReason = await generate(slot, prepared, meter, control);
    return meter.result(finishReason, prepared.prompt.length);
  } catch (error) {
    if (!control.signal.aborted) throw toRunError(error, "generation_failed", "generating");
    return meter.result("cancelled", prepared.prompt.length);
  } finally {
    host.slots.giveBack(slot);
  }
}

async function prepare(host: ChatHost, body: Readonly<Record<string, unknown>>): Promise<Prepared> {
  const params = parseParams(body);
  const form = parseAnswerForm(body);
  const turns = parseMessages(body["messages"]);
  const chars = charsToRead(turns, form);
  if (chars > host.contextTokens * MAX_CHARS_PER_TOKEN) throw contextLengthExceeded(null, host.contextTokens);
  const history = toHistory(turns, form);
  const functions = form.type === "tools" ? toFunctions(form.tools) : null;
  const chatWrapper = withReasoningEffort(host.chatWrapper, params.reasoningEffort);
  const prompt = render(chatWrapper, history, functions).tokenize(host.model.tokenizer);
  const reserve = functions === null ? 1 : FUNCTION_RESERVE_TOKENS;
  const room = host.contextTokens - prompt.length - reserve;
  if (room < 1) throw contextLengthExceeded(prompt.length, host.contextTokens);
  return {
    params,
    form,
    history,
    functions,
    grammar: await compileGrammar(host, params, form),
    chatWrapper,
    prompt,
    maxTokens: Math.min(params.maxTokens ?? room, room),
  };
}

/** Templates refuse what they were not made for, such as a conversation that the assistant begins. The warm-up had no such trouble. */
function render(
  chatWrapper: ChatWrapper,
  chatHistory: ChatHistoryItem[],
  functions: ChatModelFunctions | null,
): LlamaText {
  const tools = functions === null ? {} : { availableFunctions: functions };
  try {
    return chatWrapper.generateContextState({ chatHistory, ...tools }).contextText;
  } catch (cause) {
    throw invalidRequest(
      `messages: the model's chat template does not take this conversation: ${reasonOf(cause)}`,
    );
  }
}

/** About as many as the model is shown: besides what was said, calls with their results, and the tools. */
function charsToRead(turns: readonly ChatTurn[], form: AnswerForm): number {
  const tools = "tools" in form ? form.tools : [];
  const shown = tools.map(({ description, rawParameters }) => [description, rawParameters]);
  return JSON.stringify([turns, shown]).length;
}

async function compileGrammar(
  host: ChatHost,
  params: ChatParams,
  form: AnswerForm,
): Promise<LlamaGrammar | null> {
  if (params.grammar !== null && form.type !== "text") {
    throw invalidRequest("grammar: cannot be combined with tools or response_format");
  }
  const text = grammarOf(form) ?? params.grammar;
  if (text === null) return null;
  const field = FIELD_OF_GRAMMAR[form.type];
  if (text.length > MAX_GENERATED_GRAMMAR_CHARS)
    throw invalidRequest(`${field}: the schemas are too large together`);
  try {
    return await host.llama.createGrammar({ grammar: text });
  } catch {
    throw invalidRequest(`${field}: cannot be made into a grammar; it is not valid or too complex`);
  }
}

const FIELD_OF_GRAMMAR: Readonly<Record<AnswerForm["type"], string>> = {
  json: "response_format",
  json_or_tool: "response_format or tools",
  forced_tool: "tools",
  text: "grammar",
  tools: "tools",
};

function grammarOf(form: AnswerForm): string | null {
  switch (form.type) {
    case "json":
      return schemaGrammar(form.schema);
    case "json_or_tool":
      return jsonOrCallGrammar(form.schema, form.tools);
    case "forced_tool":
      return forcedCallGrammar(form.tools);
    case "text":
    case "tools":
      return null;
  }
}

async function generate(
  slot: LlamaSlot,
  prepared: Prepared,
  meter: Meter,
  control: ChatControl,
): Promise<RunResult["finishReason"]> {
  const newCallId = (): string => `call_${randomUUID().replaceAll("-", "").slice(0, 24)}`;
  const writer = createAnswerWriter(prepared.form, newCallId, control.emit);
  const chat = new LlamaChat({ contextSequence: slot.sequence, chatWrapper: prepared.chatWrapper });
  try {
    const { metadata } = await respond(chat, prepared, meter, writer, control.signal);
    const cut = metadata.stopReason === "maxTokens";
    if (metadata.stopReason === "customStopTrigger") meter.stopText = metadata.customStopTrigger.join("");
    const called = writer.end(!cut);
    if (cut) return "length";
    return metadata.stopReason === "functionCalls" || called ? "tool_calls" : "stop";
  } catch (error) {
    if (!(error instanceof ContextFull)) throw error;
    writer.end(false);
    return "length";
  } finally {
    chat.dispose();
  }
}

function respond(
  chat: LlamaChat,
  prepared: Prepared,
  meter: Meter,
  writer: AnswerWriter,
  signal: AbortSignal,
): Promise<LlamaChatResponse<ChatModelFunctions>> {
  const { params, form, functions, grammar } = prepared;
  const sampling = {
    ...samplingOptions(params),
    maxTokens: prepared.maxTokens,
    signal,
    onResponseChunk: (chunk) => {
      if (chunk.type === "segment") meter.reasoningTokens += chunk.tokens.length;
      writer.text(chunk);
    },
    // Inside the arguments of a call a stop text would only break the JSON.
    ...(params.stop.length === 0 || form.type === "forced_tool" || form.type === "json_or_tool"
      ? {}
      : { customStopTriggers: params.stop }),
  } satisfies LLamaChatGenerateResponseOptions;
  if (functions === null) {
    return chat.generateResponse(prepared.history, grammar === null ? sampling : { ...sampling, grammar });
  }
  return chat.generateResponse(prepared.history, {
    ...sampling,
    functions,
    ...(form.type === "tools" && !form.parallel ? { maxParallelFunctionCalls: 1 } : {}),
    onFunctionCallParamsChunk: (chunk) => writer.callText(chunk),
    onFunctionCall: (call) => writer.call(call.functionName, call.params),
  });
}

/**
 * All of them, always: what the library takes for missing ones (top-k 40, top-p 0.95, a penalty on repetition, a seed
 * from the clock's seconds) is not what OpenAI's API promises.
 */
function samplingOptions(params: ChatParams) {
  const { frequencyPenalty, presencePenalty, repeatPenalty } = params;
  const penalized = frequencyPenalty !== 0 || presencePenalty !== 0 || repeatPenalty !== 1;
  return {
    temperature: params.temperature,
    topP: params.topP,
    topK: params.topK,
    minP: params.minP,
    seed: params.seed === null ? randomInt(2 ** 32) : Number(BigInt.asUintN(32, BigInt(params.seed))),
    repeatPenalty: penalized
      ? ({ penalty: repeatPenalty, frequencyPenalty, presencePenalty, lastTokens: 1024 } as const)
      : (false as const),
  };
}

class ContextFull extends Error {}

/** Counts the tokens of one answer and holds its generation back where it has to wait or must not go on. */
class Meter {
  stopText: string | undefined;
  cachedTokens = 0;
  reasoningTokens = 0;
  readonly #host: ChatHost;
  readonly #slot: LlamaSlot;
  readonly #control: ChatControl;
  readonly #startedAt = performance.now();
  #firstTokenAt: number | null = null;
  #lastTokenAt = 0;
  #tokens = 0;

  constructor(host: ChatHost, slot: LlamaSlot, control: ChatControl) {
    this.#host = host;
    this.#slot = slot;
    this.#control = control;
  }

  async beforeToken(): Promise<void> {
    await this.#control.mayGoOn();
    this.#control.signal.throwIfAborted();
    // At the end of the context the library would drop the oldest tokens and go on; to the caller that is a limit.
    const { sequence } = this.#slot;
    if (sequence.nextTokenIndex + 1 >= sequence.contextSize - 1) throw new ContextFull();
  }

  onToken(token: Token): void {
    const now = performance.now();
    this.#firstTokenAt ??= now;
    this.#lastTokenAt = now;
    if (!this.#host.model.isEogToken(token)) this.#tokens += 1;
  }

  result(finishReason: RunResult["finishReason"], promptTokens: number): RunResult {
    const firstTokenAt = this.#firstTokenAt ?? performance.now();
    return {
      finishReason,
      usage: {
        promptTokens,
        completionTokens: this.#tokens,
        cachedTokens: this.cachedTokens,
        reasoningTokens: this.reasoningTokens,
      },
      prefillMs: firstTokenAt - this.#startedAt,
      decodeMs: Math.max(0, this.#lastTokenAt - firstTokenAt),
      stopText: this.stopText,
    };
  }
}
