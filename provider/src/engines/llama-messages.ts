import { z } from "zod";

/**
 * What the process that holds the WebSocket and the one that holds the model say to each other, over the channel that
 * `fork` opens. Both run the same version of this file.
 */

const runId = z.int().min(0);

const loadCommandSchema = z.object({
  type: z.literal("load"),
  path: z.string(),
  slots: z.int().min(1),
  /** null = as much as memory allows, within what is sensible. */
  contextTokens: z.int().min(1).nullable(),
  /** null = the library's choice, for machines whose GPU does the work. */
  threads: z.int().min(1).nullable(),
  gpu: z.boolean(),
  /** Tokens of a prompt that are evaluated in one piece. */
  sliceTokens: z.int().min(1),
});
export type LoadCommand = z.infer<typeof loadCommandSchema>;

/** Parent to child. `dispose` frees everything and ends the process; it also ends a load that is under way. */
export const commandSchema = z.discriminatedUnion("type", [
  loadCommandSchema,
  z.object({
    type: z.literal("run"),
    id: runId,
    task: z.enum(["chat", "embeddings"]),
    body: z.record(z.string(), z.unknown()),
  }),
  z.object({ type: z.literal("prepare_embeddings") }),
  z.object({ type: z.literal("cancel"), id: runId }),
  z.object({ type: z.literal("pause"), id: runId }),
  z.object({ type: z.literal("resume"), id: runId }),
  z.object({ type: z.literal("dispose") }),
]);
export type Command = z.infer<typeof commandSchema>;

const eventSchema = z.discriminatedUnion("type", [
  z.object({ type: z.literal("content"), text: z.string() }),
  z.object({ type: z.literal("reasoning"), text: z.string() }),
  z.object({ type: z.literal("tool_call"), index: z.int(), id: z.string(), name: z.string() }),
  z.object({ type: z.literal("tool_arguments"), index: z.int(), text: z.string() }),
  z.object({ type: z.literal("embedding"), index: z.int(), vector: z.instanceof(Float32Array) }),
]);

const failureSchema = z.object({
  class: z.enum(["client", "capacity", "fault"]),
  code: z.string(),
  message: z.string(),
});
export type EngineFailure = z.infer<typeof failureSchema>;

/** Child to parent. Of a run come any number of events, then `done` or `run_failed`, then nothing more. */
export const reportSchema = z.discriminatedUnion("type", [
  z.object({ type: z.literal("progress"), progress: z.number() }),
  z.object({ type: z.literal("log"), line: z.string() }),
  z.object({ type: z.literal("ready"), contextTokens: z.int(), engine: z.string() }),
  z.object({ type: z.literal("load_failed"), failure: failureSchema }),
  z.object({ type: z.literal("embeddings_ready") }),
  z.object({ type: z.literal("embeddings_failed"), failure: failureSchema }),
  z.object({ type: z.literal("event"), id: runId, event: eventSchema }),
  z.object({
    type: z.literal("done"),
    id: runId,
    result: z.object({
      finishReason: z.enum(["stop", "length", "tool_calls", "cancelled"]),
      usage: z.object({
        promptTokens: z.int(),
        completionTokens: z.int(),
        cachedTokens: z.int(),
        reasoningTokens: z.int(),
      }),
      prefillMs: z.number(),
      decodeMs: z.number(),
      stopText: z.string().optional(),
    }),
  }),
  z.object({ type: z.literal("run_failed"), id: runId, failure: failureSchema }),
]);
export type Report = z.infer<typeof reportSchema>;
