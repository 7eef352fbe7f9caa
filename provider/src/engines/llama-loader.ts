import { basename } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

import {
  getLlama,
  InsufficientMemoryError,
  type Llama,
  type LlamaContextOptions,
  LlamaLogLevel,
  type LlamaModel,
  NoBinaryFoundError,
  resolveChatWrapper,
} from "node-llama-cpp";

import { AUTO_CONTEXT, type ChatEvent, EngineError } from "../engine.ts";
import { reasonOf } from "../reason.ts";
import { runChat } from "./llama-chat.ts";
import { LlamaEmbedder } from "./llama-embedder.ts";
import type { ChatHost, LlamaHost, RunControl } from "./llama-host.ts";
import type { LoadCommand } from "./llama-messages.ts";
import { SlotPool } from "./llama-slots.ts";
import { factsOf, purposeOf } from "./model-purpose.ts";

/** Brings one model up in this process, from the file to the first token, and takes it down again. */

export interface LoadReport {
  /** 0..1, rising. */
  readonly onProgress: (progress: number) => void;
  readonly onLog: (line: string) => void;
}

const BATCH_TOKENS = 512;
const LOG_TAIL_LINES = 12;
/** The native logger's lines come through the event loop, after the error they explain. */
const LOG_DELAY_MS = 50;
/** How far a load is once the engine is up, and once the file is read; context and warm-up are the rest. */
const ENGINE_UP = 0.1;
const FILE_READ = 0.9;

/**
 * @throws EngineError `load_failed`, `insufficient_memory`, `engine_unavailable` or `warmup_failed`.
 * After an abort it throws the signal's reason or one of these.
 */
export async function loadLlama(
  command: LoadCommand,
  report: LoadReport,
  signal: AbortSignal,
): Promise<LlamaHost> {
  const tail: string[] = [];
  const onLog = (line: string): void => {
    tail.push(line);
    if (tail.length > LOG_TAIL_LINES) tail.shift();
    report.onLog(line);
  };
  let llama: Llama | null = null;
  try {
    llama = await startLlama(command, onLog);
    signal.throwIfAborted();
    report.onProgress(ENGINE_UP);
    const host = await openModel(llama, command, report, signal);
    await warmUp(host);
    signal.throwIfAborted();
    report.onProgress(1);
    return host;
  } catch (error) {
    await llama?.dispose();
    signal.throwIfAborted();
    await delay(LOG_DELAY_MS);
    throw toLoadError(error, tail, command.path);
  }
}

function startLlama(command: LoadCommand, onLog: (line: string) => void): Promise<Llama> {
  return getLlama({
    // An operator's machine must never start to compile llama.cpp or to download it.
    build: "never",
    skipDownload: true,
    gpu: command.gpu ? "auto" : false,
    progressLogs: false,
    logLevel: LlamaLogLevel.warn,
    logger: (level, text) => onLog(`${level}: ${text.trim()}`),
    ...(command.threads === null ? {} : { maxThreads: command.threads }),
  });
}

async function openModel(
  llama: Llama,
  command: LoadCommand,
  report: LoadReport,
  signal: AbortSignal,
): Promise<LlamaHost> {
  let reading = true;
  const model = await llama.loadModel({
    modelPath: command.path,
    // On a GPU, leave room for the context that follows; without one it has no effect.
    gpuLayers: {
      fitContext: { contextSize: command.slots * (command.contextTokens ?? AUTO_CONTEXT.least) },
    },
    useMmap: "auto",
    loadSignal: signal,
    onLoadProgress: (progress) => {
      // Some of these arrive when loadModel has long resolved.
      if (reading) report.onProgress(ENGINE_UP + progress * (FILE_READ - ENGINE_UP));
    },
  });
  reading = false;
  const purpose = purposeOf(factsOf(model));
  if (purpose === "ranking") {
    throw new EngineError("fault", "load_failed", "this model ranks texts, which nobody can ask for here");
  }
  const { slots, threads } = command;
  const chats = purpose === "chat" ? await openChats(model, command) : null;
  // Texts for vectors are short, and a model that reads each in one piece takes far more memory for long ones.
  const textTokens = Math.min(command.contextTokens ?? AUTO_CONTEXT.least, model.trainContextSize);
  const embedder = new LlamaEmbedder(model, {
    slots,
    contextTokens: textTokens,
    threads,
    batchTokens: BATCH_TOKENS,
  });
  if (chats === null) await embedder.prepare();
  signal.throwIfAborted();
  const contextTokens = chats?.contextTokens ?? textTokens;
  return { llama, contextTokens, chats, embedder, dispose: () => llama.dispose() };
}

async function openChats(model: LlamaModel, command: LoadCommand): Promise<ChatHost> {
  const { trainContextSize } = model;
  const context = await model.createContext({
    sequences: command.slots,
    batchSize: BATCH_TOKENS,
    ...contextSizeOf(command.contextTokens, trainContextSize),
    ...(command.threads === null ? {} : { threads: command.threads }),
  });
  return {
    llama: model.llama,
    model,
    // Recognising the template takes up to 300 ms of blocked event loop, so once for all slots.
    chatWrapper: resolveChatWrapper(model),
    slots: new SlotPool(context),
    contextTokens: Math.min(command.contextTokens ?? context.contextSize, trainContextSize),
    sliceTokens: command.sliceTokens,
  };
}

/** Of one slot. Where nobody has said how much, the library finds out how much fits into memory, leaving some for others. */
function contextSizeOf(
  contextTokens: number | null,
  trainContextSize: number,
): Pick<LlamaContextOptions, "contextSize" | "failedCreationRemedy"> {
  if (contextTokens === null) {
    const { least, most } = AUTO_CONTEXT;
    return { contextSize: { min: Math.min(least, trainContextSize), max: most } };
  }
  // A smaller context than agreed would be a surprise later; a refusal now is not.
  return { contextSize: Math.min(contextTokens, trainContextSize), failedCreationRemedy: false };
}

/** The first evaluation allocates buffers and faults the file's pages in; it also shows whether the weights are sound. */
async function warmUp({ chats, embedder }: LlamaHost): Promise<void> {
  const control = {
    emit: () => undefined,
    signal: new AbortController().signal,
    mayGoOn: () => Promise.resolve(),
  };
  const warmed = chats === null ? embedder.run({ input: "Hello" }, control) : greet(chats, control);
  await warmed.catch((error: unknown) => {
    throw new EngineError("fault", "warmup_failed", reasonOf(error), { cause: error });
  });
}

async function greet(chats: ChatHost, control: RunControl<ChatEvent>): Promise<void> {
  const body = { messages: [{ role: "user", content: "Hello" }], max_tokens: 1, temperature: 0 };
  const { usage } = await runChat(chats, body, control);
  if (usage.completionTokens === 0)
    throw new Error("the model answered a greeting with nothing: damaged weights?");
  await chats.slots.forget();
}

function toLoadError(error: unknown, tail: readonly string[], path: string): EngineError {
  if (error instanceof EngineError) return error;
  if (error instanceof NoBinaryFoundError) {
    return new EngineError(
      "fault",
      "engine_unavailable",
      `no prebuilt llama.cpp for this machine: ${error.message}`,
    );
  }
  // The reason is mostly in the log and not in the error. Paths stay here: they hold the operator's name.
  const text = [reasonOf(error), ...tail].join("\n").replaceAll(path, basename(path)).slice(0, 1900);
  const memory =
    error instanceof InsufficientMemoryError ||
    /out of memory|unable to allocate|failed to allocate|cannot allocate/i.test(text);
  return memory
    ? new EngineError("capacity", "insufficient_memory", text)
    : new EngineError("fault", "load_failed", text);
}
